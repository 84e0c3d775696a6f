"""The cluster view: the versions of all server processes, and how they are reloaded.

With one process `Manager` is the cluster view; with several it is in workers/cluster_view.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from atelier_serving.models.settings import ModelSettings
from atelier_serving.models.version import VersionStatus


class ClusterView(Protocol):
    """What the API and the index page ask of all processes."""

    def versions(self, name: str) -> Sequence[VersionStatus]:
        """All known versions of the model, highest first. Raises `ServingError` when other processes do not answer."""

    def reload(self, models: list[ModelSettings], waiting: Callable[[], bool]) -> None:
        """Serve these models and no others. Returns and raises as `Manager.reload`."""
