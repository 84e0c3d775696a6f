"""Records requests that have ended, in the metrics and in the logs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from atelier_serving.monitoring import trace_context
from atelier_serving.monitoring.access_log import AccessLog
from atelier_serving.monitoring.exchange import Exchange, Facts, Messages, is_logged
from atelier_serving.monitoring.request_log import RequestLog
from atelier_serving.monitoring.request_metrics import RequestMetrics
from atelier_serving.monitoring.trace_context import TraceParent
from atelier_serving.monitoring.tracing import Tracing
from atelier_serving.request_context import RequestContext, end


class Caller(Protocol):
    """Who has sent a request. It is asked only when a log wants to know."""

    def peer(self) -> str:
        """Its address."""

    def headers(self) -> Iterable[tuple[str | bytes, str | bytes]]:
        """Names and values of HTTP headers or gRPC metadata, names in lower case."""


class RecordedCall(NamedTuple):
    """A gRPC call that has ended. `response` is None when it failed with `context.code`."""

    context: RequestContext
    request: Any
    response: Any
    caller: Caller


class RequestRecorder:
    """Both transports call it at the end of every request, in the thread that handled the request."""

    def __init__(
        self,
        metrics: RequestMetrics,
        access_log: AccessLog | None,
        request_log: RequestLog | None,
        tracing: Tracing | None,
    ) -> None:
        self._metrics = metrics
        self._access_log = access_log
        self._request_log = request_log
        self._tracing = tracing
        self._logs = bool(access_log or request_log or tracing)

    def begin(self, context: RequestContext) -> None:
        """Decide whether a REST request goes into the request log: then `context.keep` takes it with its answer."""
        if self._request_log and self._request_log.draws():
            context.keep = partial(self._keep, self._request_log, context)

    def grpc(self, calls: Sequence[RecordedCall]) -> None:
        """Record one call, or several that have succeeded in the same run of one version."""
        self._metrics.answered([call.context for call in calls], "GRPC")
        if self._logs:
            for context, request, response, caller in calls:
                log = self._request_log
                if log and response is not None and is_logged(context.method) and log.draws():
                    self._keep(log, context, Messages(context.method, request, response))
                self._log(context, "GRPC", caller)
        end()

    def rest(self, requests: Sequence[tuple[RequestContext, Caller]]) -> None:
        """Record an HTTP request and its client, or several that have succeeded in the same run of one version."""
        self._metrics.answered([context for context, _ in requests], "REST")
        if self._logs:
            for context, caller in requests:
                self._log(context, "REST", caller)
        end()

    def close(self, seconds: float) -> None:
        """Write what waits to be written, for at most so many seconds."""
        if self._request_log:
            self._request_log.close(seconds)
        if self._tracing:
            self._tracing.close(seconds)

    def _keep(self, log: RequestLog, context: RequestContext, exchange: Exchange) -> None:
        size = log.hold(context.model, exchange)
        if size is not None:
            context.kept = exchange, size

    def _log(self, context: RequestContext, entrypoint: str, caller: Caller) -> None:
        if not (self._access_log or self._tracing or context.kept):
            return
        parent = traceparent(caller)
        trace_id = parent.trace_id if parent else None
        if self._tracing:
            trace_id = self._tracing.record(context, entrypoint, parent)
        if self._access_log:
            self._access_log.write(context, entrypoint, caller.peer(), trace_id)
        if self._request_log and context.kept:
            exchange, size = context.kept
            context.kept = None
            if context.code != "OK":
                self._request_log.release(size)
                return
            seconds = time.perf_counter() - context.started + context.waited
            self._request_log.add(
                exchange,
                size,
                Facts(
                    time.time() - seconds,
                    seconds,
                    context.model,
                    context.version,
                    context.label,
                    trace_id,
                    entrypoint.lower(),
                ),
            )


def traceparent(caller: Caller) -> TraceParent | None:
    """The trace that a request belongs to, as its caller says."""
    names = (trace_context.HEADER, trace_context.HEADER.encode())
    return trace_context.read(value for name, value in caller.headers() if name in names)
