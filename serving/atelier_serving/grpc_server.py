"""gRPC: TensorFlow Serving's two services and grpc.health.v1 on one port.

grpcio's synchronous server with a pool of threads: the session's run releases the interpreter, so threads overlap where
it matters, and every status is set in one place.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from atelier_serving.api import Api
from atelier_serving.status import Code, of_exception, truncated
from atelier_serving.version import print_state

_MAX_MESSAGE = 2**31 - 1
REFUSE_SECONDS = 0.3
_HEALTH_NAMES = (
    "",
    "PredictionService",
    "ModelService",
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
)
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class GrpcServer:
    """Serves `api` on host:port until stopped. Raises `OSError` when the port is taken."""

    def __init__(self, api: Api, host: str, port: int, threads: int) -> None:
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
            options=[
                ("grpc.max_receive_message_length", _MAX_MESSAGE),
                ("grpc.max_send_message_length", _MAX_MESSAGE),
                # Two servers on one port would each get half of the requests.
                ("grpc.so_reuseport", 0),
            ],
        )
        gate = _Gate()
        self._gate = gate
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            _Prediction(api, gate), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Model(api, gate), self._server)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        for name in _HEALTH_NAMES:
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        try:
            self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError:
            raise OSError(f"port {port} on {host} cannot be bound: another program has it") from None

    def start(self) -> None:
        """Accept requests."""
        self._server.start()

    def stop(self, seconds: float) -> None:
        """Turn health to NOT_SERVING, refuse new requests, give those in flight up to `seconds`."""
        self._health.enter_graceful_shutdown()
        # gRPC gives CANCELLED to what arrives in the very moment of its stop, which no client retries. So new requests
        # are refused with UNAVAILABLE first, until the clients have noticed.
        self._gate.closed = True
        time.sleep(REFUSE_SECONDS)
        self._server.stop(seconds).wait()


class _Gate:
    """Calls the API, unless the server is stopping; the one place where an exception becomes a status."""

    closed = False

    def answer(self, call: Callable[[], Any], context: grpc.ServicerContext) -> Any:
        """Run one call of the API."""
        if self.closed:
            context.abort(grpc.StatusCode.UNAVAILABLE, "The server is stopping.")
        try:
            answer = call()
        except Exception as error:
            failure = of_exception(error)
            if failure.code == Code.INTERNAL:
                print_state(f"internal error: {failure.message}")
            context.abort(_CODES[failure.code], truncated(failure.message))
        return answer


class _Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, api: Api, gate: _Gate) -> None:
        self._api, self._gate = api, gate

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._gate.answer(lambda: self._api.predict(request), context)

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._gate.answer(lambda: self._api.classify(request), context)

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._gate.answer(lambda: self._api.regress(request), context)

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._gate.answer(lambda: self._api.multi_inference(request), context)

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._gate.answer(lambda: self._api.metadata(request), context)


class _Model(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, api: Api, gate: _Gate) -> None:
        self._api, self._gate = api, gate

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._gate.answer(lambda: self._api.status(request), context)

    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._gate.answer(lambda: self._api.reload(request, context.is_active), context)
