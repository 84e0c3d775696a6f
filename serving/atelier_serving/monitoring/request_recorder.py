"""Records requests that have ended, in the metrics and in the logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from atelier_serving.monitoring.access_log import AccessLog
from atelier_serving.monitoring.request_log import RequestLog
from atelier_serving.monitoring.request_metrics import RequestMetrics
from atelier_serving.request_context import RequestContext, end


class RecordedCall(NamedTuple):
    """A gRPC call that has ended. `response` is None when it failed with `context.code`."""

    context: RequestContext
    request: Any
    response: Any
    peer: Callable[[], str]


class RequestRecorder:
    """Both transports call it at the end of every request, in the thread that handled the request."""

    def __init__(
        self, metrics: RequestMetrics, access_log: AccessLog | None, request_log: RequestLog | None
    ) -> None:
        self._metrics = metrics
        self._access_log = access_log
        self._request_log = request_log

    def grpc(self, calls: Sequence[RecordedCall]) -> None:
        """Record one call, or several that have succeeded in the same run of one version."""
        self._metrics.answered([call.context for call in calls], "GRPC")
        for call in calls:
            if self._access_log:
                self._access_log.write(call.context, "GRPC", call.peer())
            if self._request_log and call.response is not None:
                self._request_log.sample(call.context.method, call.context.model, call.request, call.response)
        end()

    def rest(self, requests: Sequence[tuple[RequestContext, str]]) -> None:
        """Record an HTTP request and its client, or several that have succeeded in the same run of one version."""
        self._metrics.answered([context for context, _ in requests], "REST")
        if self._access_log:
            for context, peer in requests:
                self._access_log.write(context, "REST", peer)
        end()
