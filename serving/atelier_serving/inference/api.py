"""The inference API on protos. gRPC and REST both call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from atelier_serving.inference import classify as examples
from atelier_serving.inference.multi_inference import multi_inference
from atelier_serving.inference.predict import DEFAULT_SIGNATURE, Task, checked
from atelier_serving.models import settings as model_settings
from atelier_serving.models.cluster_view import ClusterView
from atelier_serving.models.manager import Manager
from atelier_serving.models.servable import Servable
from atelier_serving.status import Code, ServingError, invalid
from atelier_serving.tensors import encode


class Api:
    """TensorFlow Serving's services as methods from request proto to response proto. They raise `ServingError`."""

    def __init__(
        self, manager: Manager, cluster: ClusterView, as_content: bool, reload_from: Path | None = None
    ) -> None:
        """`cluster` gives the states and does the reloads. It is the manager itself when there is only one process.

        A reload may use only models within the folder `reload_from`; None allows all folders.
        """
        self._manager = manager
        self._cluster = cluster
        self._as_content = as_content
        self._reload_from = reload_from

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """PredictionService.Predict."""
        with self.servable(request) as (servable, version):
            task = self.task(request, servable)
            outputs = task.run()
        return self.predicted(request, version, task, outputs)

    def model_key(self, request: predict_pb2.PredictRequest) -> bytes:
        """Predict requests of equal keys ask for the same servable."""
        return bytes(request.model_spec.SerializeToString())

    def task(self, request: predict_pb2.PredictRequest, servable: Servable) -> Task:
        """What a Predict has to run. Raises `ServingError`."""
        signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
        return checked(servable, signature, request.inputs, request.output_filter)

    def predicted(
        self,
        request: predict_pb2.PredictRequest,
        version: int,
        task: Task,
        outputs: Mapping[str, np.ndarray],
    ) -> predict_pb2.PredictResponse:
        """The response of a Predict."""
        response = predict_pb2.PredictResponse()
        for alias, array in outputs.items():
            encode(array, response.outputs[alias], self._as_content)
        _answered(response.model_spec, request.model_spec, version, task.signature_name)
        return response

    def classify(
        self, request: classification_pb2.ClassificationRequest
    ) -> classification_pb2.ClassificationResponse:
        """PredictionService.Classify."""
        response = classification_pb2.ClassificationResponse()
        with self.servable(request) as (servable, version):
            signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
            examples.classify(servable, signature, request.input, response.result)
        _answered(response.model_spec, request.model_spec, version, signature)
        return response

    def regress(self, request: regression_pb2.RegressionRequest) -> regression_pb2.RegressionResponse:
        """PredictionService.Regress."""
        response = regression_pb2.RegressionResponse()
        with self.servable(request) as (servable, version):
            signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
            examples.regress(servable, signature, request.input, response.result)
        _answered(response.model_spec, request.model_spec, version, signature)
        return response

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest
    ) -> inference_pb2.MultiInferenceResponse:
        """PredictionService.MultiInference. The model spec of the first task chooses the version of all tasks."""
        response = inference_pb2.MultiInferenceResponse()
        model_spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        with self.servable_of(model_spec) as (servable, version):
            multi_inference(servable, request, response)
        for result in response.results:
            result.model_spec.version.value = version
        return response

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """PredictionService.GetModelMetadata."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self.servable(request) as (servable, version):
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, definition in servable.signatures.items():
                signatures.signature_def[name].CopyFrom(definition)
        response.metadata["signature_def"].Pack(signatures)
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        return response

    def status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """ModelService.GetModelStatus. A label in the request is ignored (get_model_status_impl.cc:82)."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        name = request.model_spec.name
        versions = self._cluster.versions(name)
        if request.model_spec.HasField("version"):
            number = request.model_spec.version.value
            versions = [version for version in versions if version.number == number]
            if not versions:
                raise ServingError(Code.NOT_FOUND, f"Could not find version {number} of model {name}")
        if not versions:
            raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in versions:
            entry = response.model_version_status.add(version=version.number, state=int(version.state))
            entry.status.error_code = int(version.error.code) if version.error else 0
            entry.status.error_message = version.error.message if version.error else ""
        return response

    def reload(
        self, request: model_management_pb2.ReloadConfigRequest, waiting: Callable[[], bool]
    ) -> model_management_pb2.ReloadConfigResponse:
        """ModelService.HandleReloadConfigRequest. Waits for new models while `waiting` says that the caller waits.

        The requested metrics are in the response with no increase, because no metric of this server counts reloads.
        """
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        self._check_folders(request.config.model_config_list)
        self._cluster.reload(model_settings.from_proto(request.config), waiting)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.error_code = 0
        for name in request.metric_names:
            response.metric.add(name=name, int64_value_increase=0)
        return response

    def _check_folders(self, models: model_server_config_pb2.ModelConfigList) -> None:
        if self._reload_from is None:
            return
        allowed = self._reload_from.resolve()
        for model in models.config:
            # Links are resolved, because the files themselves must be in the folder.
            if not Path(model.base_path.removeprefix("file://")).resolve().is_relative_to(allowed):
                text = (
                    f"Model {model.name}: {model.base_path} is not within --reload_from={self._reload_from}."
                )
                raise ServingError(Code.PERMISSION_DENIED, text)

    def servable(self, request: Any) -> AbstractContextManager[tuple[Servable, int]]:
        """The servable that a request asks for, as `servable_of`."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        return self.servable_of(request.model_spec)

    @contextmanager
    def servable_of(self, model_spec: model_pb2.ModelSpec) -> Iterator[tuple[Servable, int]]:
        """The servable of a model spec, kept loaded in the `with` block: (servable, version). Raises `ServingError`."""
        version = model_spec.version.value if model_spec.HasField("version") else None
        label = model_spec.version_label if model_spec.HasField("version_label") else None
        with self._manager.use(model_spec.name, version, label) as chosen:
            yield chosen


def _answered(
    response: model_pb2.ModelSpec, request: model_pb2.ModelSpec, version: int, signature: str
) -> None:
    """Write the model spec of the response. It has the version that responded, and never a label."""
    response.name = request.name
    response.version.value = version
    response.signature_name = signature
