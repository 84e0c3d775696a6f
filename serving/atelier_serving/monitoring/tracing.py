"""Spans for OpenTelemetry: one a request, with the stages that are measured anyway, sent by OTLP over HTTP.

Off unless the environment asks for it (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
What is wrong with it is one line of the log: a server that cannot trace serves all the same.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from atelier_serving.monitoring.trace_context import TraceParent
from atelier_serving.request_context import RequestContext

_log = logging.getLogger(__name__)

_PROTOCOL = "http/protobuf"
_PREDICTION = "tensorflow.serving.PredictionService"
_SERVICES = dict.fromkeys(("GetModelStatus", "HandleReloadConfigRequest"), "tensorflow.serving.ModelService")
_SERVICES |= dict.fromkeys(
    ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer"),
    "inference.GRPCInferenceService",
)
_ROUTE = "/v1/models/{model}"
# The verb and the route of a method over HTTP; the others are `POST /v1/models/{model}:METHOD`.
_ROUTES = {
    "status": ("GET", _ROUTE),
    "infer": ("POST", "/v2/models/{model}/infer"),
    "model": ("GET", "/v2/models/{model}"),
}


def start_tracing() -> Tracing | None:
    """What OTEL_* ask for; None without it, and after a warning where it cannot be. Never raises."""
    try:
        return _started()
    except ImportError:
        _log.warning(
            "No traces are sent: OTEL_* ask for them, and OpenTelemetry is not installed "
            "(pip install 'atelier-serving[otel]')."
        )
    except Exception as error:
        _log.warning(f"No traces are sent: {error}")
    return None


class Tracing:
    """Sends spans in the background. `provider` is OpenTelemetry's."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry import trace

        self._provider = provider
        self._trace = trace
        self._tracer = provider.get_tracer("atelier_serving")

    def record(self, context: RequestContext, entrypoint: str, parent: TraceParent | None) -> str:
        """Make the span of a request that has ended; returns its trace id. `entrypoint` is GRPC or REST."""
        trace = self._trace
        seconds = time.perf_counter() - context.started + context.waited
        ended = time.time_ns()
        around = trace.Context()
        if parent:
            place = trace.SpanContext(
                int(parent.trace_id, 16), int(parent.span_id, 16), True, trace.TraceFlags(parent.flags)
            )
            around = trace.set_span_in_context(trace.NonRecordingSpan(place), around)
        name, attributes = _described(context, entrypoint)
        rest = max(0.0, seconds - context.waited - context.queued - context.ran)
        stages = {"wait": context.waited, "queue": context.queued, "run": context.ran, "rest": rest}
        span = self._tracer.start_span(
            name,
            around,
            trace.SpanKind.SERVER,
            attributes | {f"atelier.{stage}_seconds": spent for stage, spent in stages.items()},
            start_time=ended - int(seconds * 1e9),
        )
        if context.code != "OK":
            span.set_attribute("error.type", context.code)
            span.set_status(trace.Status(trace.StatusCode.ERROR, context.code))
        span.end(ended)
        return f"{span.get_span_context().trace_id:032x}"

    def close(self, seconds: float) -> None:
        """Send what waits, for at most so many seconds."""
        # A receiver that is away would be tried again and again.
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(seconds)


def _started() -> Tracing | None:
    environ = os.environ
    endpoint = (
        environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or ""
    ).strip()
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip() or ("otlp" if endpoint else "none")
    if exporter == "none" or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if exporter != "otlp":
        raise ValueError(f"OTEL_TRACES_EXPORTER={exporter}: expected otlp or none.")
    protocol = (
        environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or ""
    ).strip()
    if protocol not in ("", _PROTOCOL):
        raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: expected {_PROTOCOL} (port 4318).")
    if endpoint and (urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname):
        raise ValueError(f"OTEL_EXPORTER_OTLP_ENDPOINT={endpoint}: expected http://HOST:PORT.")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    _say_once()
    named = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({} if named else {"service.name": "atelier-serving"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracing = Tracing(provider)
    _log.info("Traces are sent by OTLP (OTEL_*).")
    return tracing


def _described(context: RequestContext, entrypoint: str) -> tuple[str, dict[str, Any]]:
    """The name and the attributes of a request's span, in OpenTelemetry's conventions where there are such."""
    method = context.method
    attributes: dict[str, Any] = {
        "atelier.model": context.model,
        "atelier.version": context.version,
        "atelier.label": context.label,
        "atelier.rows": context.rows,
        "atelier.batch_rows": context.batch or context.rows,
    }
    if entrypoint == "GRPC":
        service = _SERVICES.get(method, _PREDICTION)
        attributes |= {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        return f"{service}/{method}", attributes
    verb, route = _ROUTES.get(method) or ("POST", f"{_ROUTE}:{method}")
    return f"{verb} {route}", attributes | {"http.request.method": verb, "http.route": route}


def _say_once() -> None:
    """Let each part of OpenTelemetry say one thing in this server's log, without a stack trace."""
    logger = logging.getLogger("opentelemetry")
    logger.handlers = [_Once(logging.WARNING)]
    logger.propagate = False


class _Once(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        part = ".".join(record.name.split(".")[:3])
        if part not in self._said:
            self._said.add(part)
            _log.warning(f"OpenTelemetry: {record.getMessage()} (This is said once.)")
