"""W3C Trace Context: the `traceparent` that goes with a request (https://www.w3.org/TR/trace-context/).

The client begins no trace. It passes on the one of an active OpenTelemetry span, or what it is given.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

from atelier_client._arguments import shown
from atelier_client.errors import SettingsError

HEADER = "traceparent"
TraceParent = str | Callable[[], str | None]
# Section 3.2.2: version 00, trace-id, parent-id, trace-flags; lower case only, and neither id all zeros.
_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def check(traceparent: object) -> None:
    """Raises `SettingsError` for what is no traceparent."""
    if not isinstance(traceparent, str) or not _FORM.fullmatch(traceparent):
        raise SettingsError(
            "traceparent is a text such as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 (version, trace, "
            "span, flags, as W3C Trace Context has them), or a function that returns one or None, not "
            f"{shown(traceparent)}."
        )


def outgoing(given: TraceParent | None) -> str | None:
    """What to send now: what the client was given, else the active span's of OpenTelemetry, else None.

    A function is asked each time. Raises `SettingsError` for what it returns.
    """
    if given is None:
        return _of_active_span()
    if isinstance(given, str):
        return given
    traceparent = given()
    if traceparent is not None:
        check(traceparent)
    return traceparent


def trace_id(traceparent: str | None) -> str | None:
    """Its 32 hexadecimal digits of the trace."""
    return traceparent.split("-")[1] if traceparent else None


def _of_active_span() -> str | None:
    # A program that has not imported OpenTelemetry has no active span, and pays nothing for it.
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
