"""/metrics: what the console tells Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from atelier_client.drift.metrics import as_prometheus
from atelier_client.errors import ClientError
from starlette.requests import Request
from starlette.responses import Response

from atelier_console.live.drift import read_document
from atelier_console.metrics.availability import availability
from atelier_console.metrics.exposition import CONTENT_TYPE, Gauge, text
from atelier_console.metrics.releases import releases
from atelier_console.metrics.trainings import trainings
from atelier_console.pages.console import console_of

# What a document that is no drift.json makes of the gauges.
_NO_DRIFT = (KeyError, TypeError, ValueError, AttributeError, IndexError)


def metrics(request: Request) -> Response:
    """All gauges. What cannot be read is left out, and its source counts as not readable."""
    console = console_of(request)
    models = console.settings.models
    damaged: list[str] = []
    readable = Gauge(
        "atelier_console_source_readable", "1 when the console could read all of what it tells of, else 0."
    )
    found: list[Gauge] = [readable]
    sources: dict[str, Callable[[], Sequence[Gauge]]] = {
        "server": lambda: availability(console.settings, console.catalog.names(), damaged.append),
        "cards": lambda: trainings(models, console.catalog.names(), damaged.append),
        "releases": lambda: releases(models, damaged.append),
    }
    for source, read in sources.items():
        damaged.clear()
        try:
            found += read()
        except (ClientError, OSError, ValueError) as error:
            damaged.append(str(error))
        readable.add(not damaged, source=source)
    drift = ""
    try:
        drift = _drift(console.settings.reports)
        readable.add(True, source="drift")
    except (ClientError, *_NO_DRIFT):
        readable.add(False, source="drift")
    return Response(text(found) + drift, media_type=CONTENT_TYPE)


def _drift(reports: Path) -> str:
    """The gauges of the last drift.json, as the client writes them; empty when there is none."""
    document = read_document(reports)
    return as_prometheus(document) if document is not None else ""
