"""How many versions of each listed model answer. The server is asked: TensorFlow Serving has no metric of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from atelier_client import Client, Retry
from atelier_client.errors import ModelNotFound, ServerError

from atelier_console.metrics.exposition import Gauge
from atelier_console.settings import Settings

# Prometheus gives up after 10 seconds by default.
_TIMEOUT = 2.0


def availability(settings: Settings, names: Iterable[str], away_for: Callable[[str], None]) -> list[Gauge]:
    """0 for a model without any, and for all of a server that is away; `away_for` is called with why it is."""
    gauge = Gauge("atelier_available_versions", "Versions of a listed model that are AVAILABLE.")
    away = False
    for name in names:
        count = 0
        try:
            if not away:
                count = _count(settings, name)
        except ModelNotFound:
            count = 0
        except ServerError as error:
            # The others would be waited for as long.
            away = True
            away_for(str(error))
        gauge.add(count, model_name=name)
    return [gauge]


def _count(settings: Settings, name: str) -> int:
    once = Retry(attempts=1)
    with Client(settings.target, name, timeout=_TIMEOUT, retry=once, token=settings.server_token) as client:
        return sum(entry.state.name == "AVAILABLE" for entry in client.status())
