"""Calls of services, the same for both fronts: a call goes to its method, an error becomes a status."""

from __future__ import annotations

import functools
import logging
from typing import Any

from atelier_serving.grpc.large_messages import LargeMessages
from atelier_serving.grpc.method import Call, Method, Services
from atelier_serving.monitoring.request_recorder import RecordedCall, RequestRecorder
from atelier_serving.request_context import begin
from atelier_serving.status import Code, ServingError, of_exception, truncated

_log = logging.getLogger(__name__)

# These two texts are grpcio's.
UNREADABLE = ServingError(Code.INTERNAL, "Exception deserializing request!")
UNEXPECTED = ServingError(Code.UNKNOWN, "Error in service handler!")
STOPPING = ServingError(Code.UNAVAILABLE, "The server is stopping.")


class Answering:
    """Calls the methods, unless the server stops. Only here an exception becomes a status."""

    closed = False

    def __init__(self, services: Services, recorder: RequestRecorder, large: LargeMessages) -> None:
        self._recorder = recorder
        self._large = large
        self.services = services

    def answer(self, method: Method, message: Any, call: Call, waited: float) -> Any:
        """The response to a request, or a `ServingError`; `waited` is in seconds.

        The error is returned, not raised: with its traceback it would keep the request in memory.
        """
        if self.closed:
            return STOPPING
        context = begin(method.name, call.deadline, waited)
        context.claim = functools.partial(self._claim, call)
        if method.keeps:
            self._recorder.begin(context)
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
