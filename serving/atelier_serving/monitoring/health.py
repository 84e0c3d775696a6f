"""Liveness and readiness, over HTTP and for grpc.health.v1.

Ready means that every configured model has a version that answers, so a swap, whose old version answers until the new
one does, and a new version that fails to load do not make the server unready.
"""

from __future__ import annotations

from atelier_serving.models.manager import Manager
from atelier_serving.models.version import State
from atelier_serving.rest.api import Answer
from atelier_serving.rest.server import json_answer


class Health:
    """What the manager's models say about the server."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self.draining = False

    def available(self) -> dict[str, list[int]]:
        """Each configured model's versions that answer, highest first."""
        return {
            name: [v.number for v in self._manager.versions(name) if v.state == State.AVAILABLE]
            for name in self._manager.names()
        }

    def ready(self) -> bool:
        """Whether every configured model answers, and the server is not stopping."""
        return not self.draining and all(self.available().values())

    def live_page(self) -> Answer:
        """`/healthz`: this process answers."""
        return json_answer(200, {"status": "ok"})

    def ready_page(self) -> Answer:
        """`/readyz`: 200 or 503, with the versions that answer."""
        available, ready = self.available(), self.ready()
        status = "ok" if ready else "stopping" if self.draining else "not ready"
        return json_answer(200 if ready else 503, {"status": status, "models": available})
