"""What happens once a request has been answered: it is counted, and noted in the logs that were asked for."""

from __future__ import annotations

from typing import Any

from atelier_serving.monitoring.access_log import AccessLog
from atelier_serving.monitoring.request_log import RequestLog
from atelier_serving.monitoring.request_metrics import RequestMetrics
from atelier_serving.request_context import Call, end


class Answers:
    """Called by both transports at the end of every request, in the thread that answered it."""

    def __init__(
        self, metrics: RequestMetrics, access_log: AccessLog | None, request_log: RequestLog | None
    ) -> None:
        self._metrics, self._access_log, self._request_log = metrics, access_log, request_log

    def grpc(self, call: Call, request: Any, response: Any, context: Any) -> None:
        """A gRPC request; `response` is None when it failed with `call.code`."""
        self._metrics.answered(call, "GRPC", call.code)
        if self._access_log:
            self._access_log.write(call, "GRPC", context.peer())
        if self._request_log and response is not None:
            self._request_log.sample(call.method, call.model, request, response)
        end()

    def rest(self, call: Call, peer: str) -> None:
        """An HTTP request."""
        self._metrics.answered(call, "REST", call.code)
        if self._access_log:
            self._access_log.write(call, "REST", peer)
        end()
