"""/metrics: what the console tells Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from atelier_client.errors import ClientError
from starlette.requests import Request
from starlette.responses import Response

from atelier_console.metrics.availability import availability
from atelier_console.metrics.exposition import CONTENT_TYPE, Gauge, text
from atelier_console.metrics.releases import releases
from atelier_console.metrics.trainings import trainings
from atelier_console.pages.console import console_of


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
        "server": lambda: availability(console.settings, console.catalog.names()),
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
    return Response(text(found), media_type=CONTENT_TYPE)
