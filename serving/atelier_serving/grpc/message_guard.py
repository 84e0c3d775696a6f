"""Reading requests: messages that are no protos, and large ones there is no room for, are refused without harm.

When a method's deserializer fails, grpcio 1.85 never lets go of the call: each one keeps 16 kB and its stream, and a
connection is dead for good after `max_concurrent_streams` of them. So no deserializer fails here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import grpc

from atelier_serving.grpc.large_messages import LARGE, LargeMessages, Reservation
from atelier_serving.grpc.slow_clients import SlowClients

# grpcio's own text.
TEXT = "Exception deserializing request!"
_HANDLERS = {
    (False, False): (grpc.unary_unary_rpc_method_handler, "unary_unary"),
    (False, True): (grpc.unary_stream_rpc_method_handler, "unary_stream"),
    (True, False): (grpc.stream_unary_rpc_method_handler, "stream_unary"),
    (True, True): (grpc.stream_stream_rpc_method_handler, "stream_stream"),
}


class _Refusal:
    """In place of a message: the status it is answered with."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        self.code = code
        self.text = text


_UNREADABLE = _Refusal(grpc.StatusCode.INTERNAL, TEXT)


class MessageGuard(grpc.ServerInterceptor):
    """Reads the messages of every service of a server."""

    def __init__(self, large: LargeMessages, slow_clients: SlowClients) -> None:
        """`slow_clients` learns that a message is there."""
        self._large = large
        self._slow_clients = slow_clients
        self._known: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def intercept_service(self, continuation: Callable[..., Any], handler_call_details: Any) -> Any:
        """The method's handler with another reader; made once for each method there is."""
        method = handler_call_details.method
        if method not in self._known:
            handler = continuation(handler_call_details)
            if handler is None:
                return None
            self._known[method] = self._guarded(handler)
        return self._known[method]

    def _guarded(self, handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
        make, kind = _HANDLERS[handler.request_streaming, handler.response_streaming]
        behavior, read, received = (
            getattr(handler, kind),
            handler.request_deserializer,
            self._slow_clients.received,
        )

        def read_any(data: bytes) -> Any:
            try:
                if len(data) < LARGE:
                    return read(data)
                reserved = self._large.reserve(len(data))
                if isinstance(reserved, str):
                    return _Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, reserved)
                reserved.message = read(data)
                return reserved
            except Exception:
                # Whatever it is, the client's bytes have caused it.
                return _UNREADABLE

        # grpcio looks for attributes such as a thread pool of the method's own: `wraps` keeps them.
        @functools.wraps(behavior)
        def answer(messages: Any, context: grpc.ServicerContext, *more: Any) -> Any:
            received(None if handler.response_streaming else context)
            if handler.request_streaming:
                return behavior((_readable(message, context) for message in messages), context, *more)
            # `messages` lives as long as this call, and with it a large message counts.
            return behavior(_readable(messages, context), context, *more)

        return make(answer, read_any, handler.response_serializer)


def _readable(message: Any, context: grpc.ServicerContext) -> Any:
    if type(message) is Reservation:
        return message.message
    if type(message) is _Refusal:
        context.abort(message.code, message.text)
    return message
