"""TensorFlow Serving's two services as gRPC handlers: calls go to the API, errors become statuses."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Any

import grpc
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
from atelier_serving.monitoring.request_recorder import RequestRecorder
from atelier_serving.request_context import begin
from atelier_serving.status import Code, ServingError, of_exception, truncated
from atelier_serving.thread_pool import seconds_waited

_log = logging.getLogger(__name__)

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
_A_YEAR = 365 * 86400.0
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Dispatcher:
    """Calls the API, unless the server stops. Only here an exception becomes a gRPC status."""

    closed = False

    def __init__(self, api: Api, recorder: RequestRecorder, large: LargeMessages) -> None:
        self._api = api
        self._large = large
        self._recorder = recorder

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """The handlers of both services."""
        return [
            grpc.method_handlers_generic_handler(
                service, {name: self._handler(name, *method) for name, method in methods.items()}
            )
            for service, methods in _methods(self._api).items()
        ]

    def _handler(
        self, name: str, call: Callable[..., Any], request: Any, response: Any
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler of one method of a service."""

        def answer(message: Any, context: grpc.ServicerContext) -> Any:
            if self.closed:
                context.abort(grpc.StatusCode.UNAVAILABLE, "The server is stopping.")
            request_context = begin(name, _deadline(context), seconds_waited())
            request_context.claim = functools.partial(self._claim, context)
            failure = result = None
            try:
                result = call(message, context)
            except Exception as error:
                failure = of_exception(error)
                request_context.code = failure.code.name
                if failure.code == Code.INTERNAL:
                    _log.error(f"internal error: {failure.message}")
            self._recorder.grpc(request_context, message, result, context)
            if failure is not None:
                context.abort(_CODES[failure.code], truncated(failure.message))
            return result

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=request.FromString, response_serializer=response.SerializeToString
        )

    def _claim(self, context: grpc.ServicerContext, size: int) -> None:
        """Count `size` bytes as those of a large message until the call has ended. Raises `ServingError`."""
        reserved = self._large.reserve(size)
        if isinstance(reserved, str):
            text = f"The request takes {size} bytes more than it has sent: shapes, or many small parts. {reserved}"
            raise ServingError(Code.RESOURCE_EXHAUSTED, text)
        held = [reserved]
        del reserved
        if not context.add_callback(held.clear):
            held.clear()


def _deadline(context: grpc.ServicerContext) -> float | None:
    seconds = context.time_remaining()
    # Without a deadline grpcio gives a time of centuries.
    return time.monotonic() + seconds if seconds is not None and seconds < _A_YEAR else None


def _methods(api: Api) -> dict[str, dict[str, tuple[Callable[..., Any], Any, Any]]]:
    """For each service its methods: name to (function, request type, response type)."""

    def plain(call: Callable[[Any], Any]) -> Callable[..., Any]:
        return lambda request, context: call(request)

    def reload(request: Any, context: grpc.ServicerContext) -> Any:
        return api.reload(request, context.is_active)

    classify = classification_pb2
    regress = regression_pb2
    metadata = get_model_metadata_pb2
    prediction = {
        "Predict": (plain(api.predict), predict_pb2.PredictRequest, predict_pb2.PredictResponse),
        "Classify": (plain(api.classify), classify.ClassificationRequest, classify.ClassificationResponse),
        "Regress": (plain(api.regress), regress.RegressionRequest, regress.RegressionResponse),
        "MultiInference": (
            plain(api.multi_inference),
            inference_pb2.MultiInferenceRequest,
            inference_pb2.MultiInferenceResponse,
        ),
        "GetModelMetadata": (
            plain(api.metadata),
            metadata.GetModelMetadataRequest,
            metadata.GetModelMetadataResponse,
        ),
    }
    model = {
        "GetModelStatus": (
            plain(api.status),
            get_model_status_pb2.GetModelStatusRequest,
            get_model_status_pb2.GetModelStatusResponse,
        ),
        "HandleReloadConfigRequest": (
            reload,
            model_management_pb2.ReloadConfigRequest,
            model_management_pb2.ReloadConfigResponse,
        ),
    }
    return {PREDICTION_SERVICE: prediction, MODEL_SERVICE: model}
