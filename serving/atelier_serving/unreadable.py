"""Messages that are no protos, refused without harm.

When a method's deserializer fails, grpcio 1.85 never lets go of the call: each one keeps 16 kB and its stream, and a
connection is dead for good after `max_concurrent_streams` of them. So no deserializer fails here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import grpc

# grpcio's own text.
TEXT = "Exception deserializing request!"
_UNREADABLE = object()
_HANDLERS = {
    (False, False): (grpc.unary_unary_rpc_method_handler, "unary_unary"),
    (False, True): (grpc.unary_stream_rpc_method_handler, "unary_stream"),
    (True, False): (grpc.stream_unary_rpc_method_handler, "stream_unary"),
    (True, True): (grpc.stream_stream_rpc_method_handler, "stream_stream"),
}


class RefuseUnreadable(grpc.ServerInterceptor):
    """Answers INTERNAL to them, for every service of a server."""

    def __init__(self) -> None:
        self._known: dict[str, grpc.RpcMethodHandler] = {}

    def intercept_service(self, continuation: Callable[..., Any], handler_call_details: Any) -> Any:
        """The method's handler with another reader; made once for each method there is."""
        method = handler_call_details.method
        if method not in self._known:
            handler = continuation(handler_call_details)
            if handler is None:
                return None
            self._known[method] = _guarded(handler)
        return self._known[method]


def _guarded(handler: Any) -> grpc.RpcMethodHandler:
    make, kind = _HANDLERS[handler.request_streaming, handler.response_streaming]
    behavior, read = getattr(handler, kind), handler.request_deserializer

    def read_any(data: bytes) -> Any:
        try:
            return read(data)
        except Exception:
            # Whatever it is, the client's bytes have caused it.
            return _UNREADABLE

    # grpcio looks for attributes such as a thread pool of the method's own: `wraps` keeps them.
    @functools.wraps(behavior)
    def answer(messages: Any, context: grpc.ServicerContext, *more: Any) -> Any:
        if handler.request_streaming:
            messages = _readable(messages, context)
        elif messages is _UNREADABLE:
            context.abort(grpc.StatusCode.INTERNAL, TEXT)
        return behavior(messages, context, *more)

    return make(answer, read_any, handler.response_serializer)


def _readable(messages: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
    for message in messages:
        if message is _UNREADABLE:
            context.abort(grpc.StatusCode.INTERNAL, TEXT)
        yield message
