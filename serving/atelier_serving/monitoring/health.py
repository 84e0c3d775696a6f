"""Readiness: what `/readyz` and grpc.health.v1 say.

Ready means that every configured model has a version that answers, so a swap, whose old version answers until the new
one does, and a new version that fails to load do not make the server unready.
"""

from __future__ import annotations

from atelier_serving.models.manager import Manager
from atelier_serving.models.version import VersionState


class Health:
    """What the manager's models say about the server."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self.draining = False

    def available(self) -> dict[str, list[int]]:
        """Each configured model's versions that answer, highest first."""
        return {
            name: [v.number for v in self._manager.versions(name) if v.state == VersionState.AVAILABLE]
            for name in self._manager.names()
        }

    def ready(self) -> bool:
        """Whether every configured model answers, and the server is not stopping."""
        return not self.draining and all(self.available().values())
