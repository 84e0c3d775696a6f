"""Records requests that have ended, in the metrics and in the logs."""

from __future__ import annotations

from typing import Any

from atelier_serving.monitoring.access_log import AccessLog
from atelier_serving.monitoring.request_log import RequestLog
from atelier_serving.monitoring.request_metrics import RequestMetrics
from atelier_serving.request_context import RequestContext, end


class RequestRecorder:
    """Both transports call it at the end of every request, in the thread that handled the request."""

    def __init__(
        self, metrics: RequestMetrics, access_log: AccessLog | None, request_log: RequestLog | None
    ) -> None:
        self._metrics = metrics
        self._access_log = access_log
        self._request_log = request_log

    def grpc(self, context: RequestContext, request: Any, response: Any, grpc_context: Any) -> None:
        """Record a gRPC request. `response` is None when the request failed with `context.code`."""
        self._metrics.answered(context, "GRPC", context.code)
        if self._access_log:
            self._access_log.write(context, "GRPC", grpc_context.peer())
        if self._request_log and response is not None:
            self._request_log.sample(context.method, context.model, request, response)
        end()

    def rest(self, context: RequestContext, peer: str) -> None:
        """Record an HTTP request."""
        self._metrics.answered(context, "REST", context.code)
        if self._access_log:
            self._access_log.write(context, "REST", peer)
        end()
