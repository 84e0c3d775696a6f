"""Liveness and readiness over HTTP."""

from __future__ import annotations

from atelier_serving.monitoring.health import Health
from atelier_serving.rest.answer import Answer, json_answer


class HealthPages:
    """The pages for probes. They never wait."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def live(self) -> Answer:
        """`/healthz`: 200, because this process responds."""
        return json_answer(200, {"status": "ok"})

    def ready(self) -> Answer:
        """`/readyz`: 200 or 503, with the AVAILABLE versions."""
        available = self._health.available()
        ready = self._health.ready()
        status = "ok" if ready else "stopping" if self._health.draining else "not ready"
        return json_answer(200 if ready else 503, {"status": status, "models": available})
