"""The cluster view: versions and reloads of the whole service, however many processes it consists of.

`Manager` is the view of a server alone; workers.cluster_view has that of several.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from atelier_serving.models.settings import ModelSettings
from atelier_serving.models.version import VersionStatus


class ClusterView(Protocol):
    """What the API and the index page ask about every process."""

    def versions(self, name: str) -> Sequence[VersionStatus]:
        """Every known version of the model, highest first. Raises `ServingError` when the others do not answer."""

    def reload(self, models: list[ModelSettings], waiting: Callable[[], bool]) -> None:
        """Serve these models and no others: `Manager.reload` says when it returns and what it raises."""
