"""The services as handlers of grpcio's server."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import grpc

from atelier_serving.grpc.answering import Answering
from atelier_serving.grpc.method import Method
from atelier_serving.status import ServingError
from atelier_serving.thread_pool import seconds_waited

_A_YEAR = 365 * 86400.0
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class _GrpcioCall:
    """A call by grpcio's context."""

    __slots__ = ("_context", "deadline", "is_active", "peer")

    def __init__(self, context: grpc.ServicerContext) -> None:
        self._context = context
        self.is_active = context.is_active
        self.peer = context.peer
        seconds = context.time_remaining()
        # Without a deadline grpcio gives a time of centuries.
        waits = seconds is not None and seconds < _A_YEAR
        self.deadline = time.monotonic() + seconds if waits else None

    def headers(self) -> Iterable[tuple[str | bytes, str | bytes]]:
        """Names and values of its metadata."""
        return self._context.invocation_metadata()

    def keep(self, reservation: object) -> None:
        """Keep it until the client has taken the answer: then grpcio calls back."""
        held = [reservation]
        if not self._context.add_callback(held.clear):
            held.clear()


def handlers(answering: Answering) -> list[grpc.GenericRpcHandler]:
    """The handlers of all services."""
    return [
        grpc.method_handlers_generic_handler(
            service, {name: _handler(answering, method) for name, method in methods.items()}
        )
        for service, methods in answering.services.items()
    ]


def _handler(answering: Answering, method: Method) -> grpc.RpcMethodHandler[Any, Any]:
    def answer(message: Any, context: grpc.ServicerContext) -> Any:
        result = answering.answer(method, message, _GrpcioCall(context), seconds_waited())
        if isinstance(result, ServingError):
            context.abort(_CODES[result.code], result.message)
        return result

    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=method.request.FromString,
        response_serializer=method.response.SerializeToString,
    )
