"""Reads requests. Refuses messages that are no protos, and large messages when there is no room for them.

When the deserializer of a method fails, grpcio 1.85 never frees the call: each keeps 16 kB and its stream. After
`max_concurrent_streams` of such calls the connection is unusable. So here no deserializer fails.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import grpc

from atelier_serving.grpc.answering import UNREADABLE
from atelier_serving.grpc.large_messages import LARGE, LargeMessages, Reservation
from atelier_serving.grpc.slow_clients import SlowClients

_HANDLERS = {
    (False, False): (grpc.unary_unary_rpc_method_handler, "unary_unary"),
    (False, True): (grpc.unary_stream_rpc_method_handler, "unary_stream"),
    (True, False): (grpc.stream_unary_rpc_method_handler, "stream_unary"),
    (True, True): (grpc.stream_stream_rpc_method_handler, "stream_stream"),
}


class _Refusal:
    """Takes the place of a message that is refused: the status for its client."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        self.code = code
        self.text = text


_UNREADABLE = _Refusal(grpc.StatusCode.INTERNAL, UNREADABLE.message)


class MessageGuard(grpc.ServerInterceptor):
    """Reads the messages of every service of a server."""

    def __init__(self, large: LargeMessages, slow_clients: SlowClients) -> None:
        """`slow_clients` is told when a message has arrived."""
        self._large = large
        self._slow_clients = slow_clients
        self._known: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def intercept_service(self, continuation: Callable[..., Any], handler_call_details: Any) -> Any:
        """The handler of the method, with a deserializer that never fails. It is made once for each method."""
        method = handler_call_details.method
        if method not in self._known:
            handler = continuation(handler_call_details)
            if handler is None:
                return None
            self._known[method] = self._guarded(handler)
        return self._known[method]

    def _guarded(self, handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
        make, kind = _HANDLERS[handler.request_streaming, handler.response_streaming]
        behavior = getattr(handler, kind)
        read = handler.request_deserializer
        received = self._slow_clients.received

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
                # Any exception here is caused by the bytes of the client.
                return _UNREADABLE

        # `wraps` keeps attributes that grpcio reads, such as the method's own thread pool.
        @functools.wraps(behavior)
        def answer(messages: Any, context: grpc.ServicerContext, *more: Any) -> Any:
            received(None if handler.response_streaming else context)
            if handler.request_streaming:
                return behavior((_readable(message, context) for message in messages), context, *more)
            # `messages` lives until the call ends, so a large message counts until then.
            return behavior(_readable(messages, context), context, *more)

        return make(answer, read_any, handler.response_serializer)


def _readable(message: Any, context: grpc.ServicerContext) -> Any:
    if type(message) is Reservation:
        return message.message
    if type(message) is _Refusal:
        context.abort(message.code, message.text)
    return message
