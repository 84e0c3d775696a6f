"""Readiness, for `/readyz` and grpc.health.v1.

The server is ready when every configured model has an AVAILABLE version. It stays ready while a new version loads,
because the old version serves until then; also when the new version fails.
"""

from __future__ import annotations

from atelier_serving.models.manager import Manager
from atelier_serving.models.version import VersionState


class Health:
    """The readiness of the server, from the states of its models."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self.draining = False

    def available(self) -> dict[str, list[int]]:
        """The AVAILABLE versions of each configured model, highest first."""
        return {
            name: [v.number for v in self._manager.versions(name) if v.state == VersionState.AVAILABLE]
            for name in self._manager.names()
        }

    def ready(self) -> bool:
        """True when every configured model has an AVAILABLE version, and the server does not stop."""
        return not self.draining and all(self.available().values())
