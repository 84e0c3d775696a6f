"""gRPC: TensorFlow Serving's two services, grpc.health.v1 and reflection on one port.

grpcio's synchronous server with threads of our own: measured against its asyncio server it answers three times as many
requests of one row (docs/decisions.md). The session's run releases the interpreter, so threads overlap where it
matters, and every status is set in one place.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from atelier_serving import memory
from atelier_serving.grpc.large_messages import LargeMessages
from atelier_serving.grpc.message_guard import MessageGuard
from atelier_serving.grpc.reflection import add_reflection
from atelier_serving.grpc.slow_clients import SlowClients
from atelier_serving.inference.api import Api
from atelier_serving.monitoring.request_recorder import RequestRecorder
from atelier_serving.request_context import begin
from atelier_serving.status import Code, of_exception, truncated
from atelier_serving.thread_pool import ThreadPool, seconds_waited

_log = logging.getLogger(__name__)

_MAX_MESSAGE = 2**31 - 1
# Of one connection, and of all: each waiting request holds its message.
_MAX_STREAMS = 1000
_MAX_REQUESTS = 10_000
_MAX_CONNECTIONS = 10_000
_A_YEAR = 365 * 86400.0
_PREDICTION, _MODEL = "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"
_HEALTH_NAMES = ("", "PredictionService", "ModelService", _PREDICTION, _MODEL)
_UNKNOWN_SERVICE = "unknown"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True)
class Listening:
    """Where a server listens: `host:port` or empty, the path of a Unix socket or empty; gRPC's channel arguments.

    The port and the memory are shared with `workers`, this one among them.
    """

    address: str
    socket_path: str
    arguments: list[tuple[str, int | str]]
    workers: int


class GrpcServer:
    """Serves `api` until stopped. Raises `OSError` when the port is taken."""

    def __init__(
        self,
        api: Api,
        recorder: RequestRecorder,
        where: Listening,
        pool: ThreadPool,
        credentials: grpc.ServerCredentials | None,
    ) -> None:
        self._workers = workers = where.workers
        given = {name for name, _ in where.arguments}
        self._slow_clients = SlowClients(pool)
        self._large = LargeMessages()
        self._server = grpc.server(
            self._slow_clients,  # type: ignore[arg-type]
            interceptors=[MessageGuard(self._large, self._slow_clients)],
            options=[
                *where.arguments,
                *(option for option in _options(workers) if option[0] not in given),
            ],
            maximum_concurrent_rpcs=_MAX_REQUESTS,
        )
        dispatcher = _Dispatcher(recorder)
        self._dispatcher = dispatcher
        for service, methods in _methods(api).items():
            handlers = {name: dispatcher.handler(name, *method) for name, method in methods.items()}
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self._health = _Health()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        add_reflection(self._server, [health.SERVICE_NAME])
        self.set_ready(False)
        if where.address:
            self._bind(where.address, credentials)
        if where.socket_path:
            # Whoever may open the file may ask: TensorFlow Serving, too, uses no TLS there.
            self._bind(f"unix:{where.socket_path}", None)

    def _bind(self, address: str, credentials: grpc.ServerCredentials | None) -> None:
        try:
            if credentials:
                self._server.add_secure_port(address, credentials)
            else:
                self._server.add_insecure_port(address)
        except RuntimeError:
            host, _, port = address.rpartition(":")
            what = f"socket {port}" if host == "unix" else f"port {port} on {host}"
            raise OSError(f"{what} cannot be bound: another program has it") from None

    def start(self) -> None:
        """Accept requests."""
        # Models are loaded by now.
        free = memory.available() // self._workers
        self._slow_clients.start(free)
        self._large.start(free)
        self._server.start()

    def set_ready(self, ready: bool) -> None:
        """What grpc.health.v1 says; watchers are told of a change."""
        status = (
            health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for name in _HEALTH_NAMES:
            self._health.set(name, status)

    def refuse(self) -> None:
        """Turn health to NOT_SERVING and answer new requests with UNAVAILABLE, which clients take elsewhere."""
        self._health.enter_graceful_shutdown()
        self._dispatcher.closed = True

    def stop(self, seconds: float) -> None:
        """Close the port and give requests in flight up to `seconds`.

        gRPC gives CANCELLED to what arrives in the very moment of its stop, which no client retries: call `refuse`
        REFUSE_SECONDS before.
        """
        self._server.stop(seconds).wait()


class _Health(health.HealthServicer):  # type: ignore[misc]  # the library has no types
    """The library's, without keeping every name that was ever watched."""

    def Watch(self, request: Any, context: Any, send_response_callback: Any = None) -> Any:
        # A name that is unknown now stays so here: they all share a place.
        if request.service not in _HEALTH_NAMES:
            request.service = _UNKNOWN_SERVICE
        return super().Watch(request, context, send_response_callback)


class _Dispatcher:
    """Calls the API, unless the server is stopping; the one place where an exception becomes a status."""

    closed = False

    def __init__(self, recorder: RequestRecorder) -> None:
        self._recorder = recorder

    def handler(
        self, name: str, call: Callable[..., Any], request: Any, response: Any
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler of one method."""

        def answer(message: Any, context: grpc.ServicerContext) -> Any:
            if self.closed:
                context.abort(grpc.StatusCode.UNAVAILABLE, "The server is stopping.")
            request_context = begin(name, _deadline(context), seconds_waited())
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


def _options(workers: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", _MAX_MESSAGE),
        ("grpc.max_send_message_length", _MAX_MESSAGE),
        # Two servers that do not know of each other would each get half of the requests.
        ("grpc.so_reuseport", int(workers > 1)),
        # Above this a connection's further requests wait at the client's end.
        ("grpc.max_concurrent_streams", _MAX_STREAMS),
        ("grpc.max_allowed_incoming_connections", _MAX_CONNECTIONS),
        # A connection whose other end no longer answers goes with everything that is held for it.
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]


def _deadline(context: grpc.ServicerContext) -> float | None:
    seconds = context.time_remaining()
    # Without a deadline grpcio gives the centuries to the end of its clock.
    return time.monotonic() + seconds if seconds is not None and seconds < _A_YEAR else None


def _methods(api: Api) -> dict[str, dict[str, tuple[Callable[..., Any], Any, Any]]]:
    """Service to method to (what answers it, request, response)."""

    def plain(call: Callable[[Any], Any]) -> Callable[..., Any]:
        return lambda request, context: call(request)

    def reload(request: Any, context: grpc.ServicerContext) -> Any:
        return api.reload(request, context.is_active)

    classify, regress, metadata = classification_pb2, regression_pb2, get_model_metadata_pb2
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
    return {_PREDICTION: prediction, _MODEL: model}
