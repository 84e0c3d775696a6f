"""TensorFlow Serving's two services, the same for both fronts: a call goes to the API, an error becomes a status."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from atelier_serving.grpc.large_messages import LargeMessages
from atelier_serving.inference.api import Api
from atelier_serving.monitoring.request_recorder import RecordedCall, RequestRecorder
from atelier_serving.request_context import begin
from atelier_serving.status import Code, ServingError, of_exception, truncated

_log = logging.getLogger(__name__)

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
PREDICT = f"/{PREDICTION_SERVICE}/Predict"
# These two texts are grpcio's.
UNREADABLE = ServingError(Code.INTERNAL, "Exception deserializing request!")
UNEXPECTED = ServingError(Code.UNKNOWN, "Error in service handler!")
STOPPING = ServingError(Code.UNAVAILABLE, "The server is stopping.")


class Call(Protocol):
    """A call, as its front knows it."""

    @property
    def deadline(self) -> float | None:
        """When its client stops waiting (time.monotonic()); None without a deadline."""

    def is_active(self) -> bool:
        """Whether its client still waits."""

    def peer(self) -> str:
        """The address of its client."""

    def headers(self) -> Iterable[tuple[str | bytes, str | bytes]]:
        """Names and values of its metadata."""

    def keep(self, reservation: object) -> None:
        """Keep this object until the call has ended."""


@dataclass(frozen=True)
class Method:
    """A method of a service: its function, and the types of its request and response protos."""

    name: str
    call: Callable[[Any, Call], Any]
    request: Any
    response: Any


class Answering:
    """Calls the API, unless the server stops. Only here an exception becomes a status."""

    closed = False

    def __init__(self, api: Api, recorder: RequestRecorder, large: LargeMessages) -> None:
        self._recorder = recorder
        self._large = large
        self.methods = _methods(api)

    def answer(self, method: Method, message: Any, call: Call, waited: float) -> Any:
        """The response to a request, or a `ServingError`; `waited` is in seconds.

        The error is returned, not raised: with its traceback it would keep the request in memory.
        """
        if self.closed:
            return STOPPING
        context = begin(method.name, call.deadline, waited)
        context.claim = functools.partial(self._claim, call)
        failure = result = None
        try:
            result = method.call(message, call)
        except Exception as error:
            failure = failed(error)
            context.code = failure.code.name
        self._recorder.grpc([RecordedCall(context, message, result, call)])
        return result if failure is None else failure

    def _claim(self, call: Call, size: int) -> None:
        """Count `size` bytes as those of a large message until the call has ended. Raises `ServingError`."""
        reserved = self._large.reserve(size)
        if isinstance(reserved, str):
            text = f"The request takes {size} bytes more than it has sent: shapes, or many small parts. {reserved}"
            raise ServingError(Code.RESOURCE_EXHAUSTED, text)
        call.keep(reserved)


def failed(error: Exception) -> ServingError:
    """The status of an exception, with a text of gRPC's length. An error of this server is logged."""
    failure = of_exception(error)
    if failure.code == Code.INTERNAL:
        _log.error(f"internal error: {failure.message}")
    return ServingError(failure.code, truncated(failure.message))


def _methods(api: Api) -> dict[str, dict[str, Method]]:
    """The methods of each service by name."""

    def plain(call: Callable[[Any], Any]) -> Callable[[Any, Call], Any]:
        return lambda request, _: call(request)

    def reload(request: Any, call: Call) -> Any:
        return api.reload(request, call.is_active)

    classify = classification_pb2
    regress = regression_pb2
    metadata = get_model_metadata_pb2
    status = get_model_status_pb2
    prediction = (
        Method("Predict", plain(api.predict), predict_pb2.PredictRequest, predict_pb2.PredictResponse),
        Method(
            "Classify",
            plain(api.classify),
            classify.ClassificationRequest,
            classify.ClassificationResponse,
        ),
        Method("Regress", plain(api.regress), regress.RegressionRequest, regress.RegressionResponse),
        Method(
            "MultiInference",
            plain(api.multi_inference),
            inference_pb2.MultiInferenceRequest,
            inference_pb2.MultiInferenceResponse,
        ),
        Method(
            "GetModelMetadata",
            plain(api.metadata),
            metadata.GetModelMetadataRequest,
            metadata.GetModelMetadataResponse,
        ),
    )
    model = (
        Method(
            "GetModelStatus",
            plain(api.status),
            status.GetModelStatusRequest,
            status.GetModelStatusResponse,
        ),
        Method(
            "HandleReloadConfigRequest",
            reload,
            model_management_pb2.ReloadConfigRequest,
            model_management_pb2.ReloadConfigResponse,
        ),
    )
    services = {PREDICTION_SERVICE: prediction, MODEL_SERVICE: model}
    return {service: {method.name: method for method in methods} for service, methods in services.items()}
