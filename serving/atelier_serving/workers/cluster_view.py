"""The cluster view of a worker: versions, reloads and metrics of all workers, through the supervisor.

`versions` and `reload` are as in the manager, but for all workers. Predictions need nothing from here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from atelier_serving.models import settings as model_settings
from atelier_serving.models.manager import Manager, Reload
from atelier_serving.models.settings import ModelSettings
from atelier_serving.models.version import VersionState
from atelier_serving.monitoring.registry import Snapshot, from_json, to_json
from atelier_serving.status import Code, ServingError
from atelier_serving.workers.channel import Channel

# Longer than the supervisor waits for the other workers (worker_pool.py).
_SECONDS = 3.0
_AGREE_SECONDS = 12.0
_LOOK_AGAIN_SECONDS = 0.05


@dataclass(frozen=True)
class CombinedStatus:
    """The state of a version in all workers together."""

    number: int
    state: VersionState
    error: ServingError | None


class SupervisedClusterView:
    """Asks through `channel`. `available` and `snapshot` give this worker's AVAILABLE versions and metrics."""

    def __init__(
        self,
        channel: Channel,
        manager: Manager,
        available: Callable[[], dict[str, list[int]]],
        snapshot: Callable[[], Snapshot],
    ) -> None:
        self._channel = channel
        self._manager = manager
        self._available = available
        self._snapshot = snapshot
        self._number = 0
        self._reload: Reload | None = None
        self._taken = 0
        self._taking = threading.Lock()
        channel.handlers.update(
            alive=lambda: True,
            available=available,
            versions=self._own_versions,
            check=self._check,
            apply=self._apply,
            settled=self._settled,
            snapshot=self._own_snapshot,
        )

    def start(self, configured: Callable[[], list[ModelSettings] | None], stopping: threading.Event) -> None:
        """Load the configuration that all workers agreed on, or else `configured`. Return when this worker may listen.

        Raises `ServingError` as `configured` and `Manager.start`.
        """
        number, models = self._ask("configuration")
        self._number = number
        if models is None:
            self._manager.start(configured())
        else:
            self._manager.start(model_settings.from_json(models), accepted=True)
        while not stopping.is_set():
            settings = self._manager.settings()
            models = None if settings is None else model_settings.to_json(settings)
            answer = self._ask("ready", self._number, self._available(), models)
            if answer["ready"]:
                return
            if "configuration" in answer:
                self._apply(*answer["configuration"])
            stopping.wait(_LOOK_AGAIN_SECONDS)
            self._manager.poll()

    def configured(self, models: list[ModelSettings] | None) -> None:
        """Tell the supervisor what the configuration file says, for workers that start later."""
        if models is not None:
            self._channel.ask("configured", model_settings.to_json(models))

    def versions(self, name: str) -> list[CombinedStatus]:
        """As `Manager.versions`. AVAILABLE means AVAILABLE in every worker that listens. Raises `ServingError`."""
        return combined(self._ask("versions", name))

    def reload(self, models: list[ModelSettings], waiting: Callable[[], bool]) -> None:
        """As `Manager.reload`. All workers apply the configuration, or none; then the error is that of one worker."""
        number = self._channel.call("reload", model_settings.to_json(models), seconds=_AGREE_SECONDS)
        while not self._ask("settled", number):
            if not waiting():
                raise ServingError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
            time.sleep(_LOOK_AGAIN_SECONDS)

    def snapshots(self) -> list[Snapshot]:
        """The metrics of all workers, including those that have died. Raises `ServingError`."""
        return [from_json(document) for document in self._ask("snapshots")]

    def _ask(self, question: str, *arguments: Any) -> Any:
        return self._channel.call(question, *arguments, seconds=_SECONDS)

    def _own_versions(self, name: str) -> list[list[Any]]:
        return [
            [v.number, v.state, v.error and [v.error.code, v.error.message]]
            for v in self._manager.versions(name)
        ]

    def _own_snapshot(self) -> list[Any]:
        with self._taking:
            self._taken += 1
            return [self._taken, to_json(self._snapshot())]

    def _check(self, models: list[Any]) -> bool:
        self._manager.check(model_settings.from_json(models))
        return True

    def _apply(self, number: int, models: list[Any]) -> bool:
        # It is not checked again: versions may have changed since the check, but all workers have agreed.
        self._number = number
        self._reload = self._manager.apply(model_settings.from_json(models), accepted=True)
        self._manager.poll()
        return True

    def _settled(self, number: int) -> bool:
        if number != self._number:
            raise ServingError(Code.ABORTED, "Another configuration has replaced this one.")
        # A worker that started with this configuration had already loaded it before it listened.
        if self._reload is None or self._manager.settled(self._reload):
            return True
        self._manager.poll()
        return False


def combined(workers: list[list[list[Any]]]) -> list[CombinedStatus]:
    """One status for each version, highest first, from the [number, state, error] of each worker.

    While a version is not yet AVAILABLE in some worker, its state is the lowest one. It is START when a worker does not
    know the version yet. Otherwise its state is the highest one, with its error. So a version that has ended in one
    worker has ended, and an AVAILABLE version is AVAILABLE in all workers.
    """
    found: dict[int, list[tuple[VersionState, ServingError | None]]] = {}
    for versions in workers:
        for number, state, error in versions:
            failure = ServingError(Code(error[0]), error[1]) if error else None
            found.setdefault(number, []).append((VersionState(state), failure))
    statuses = []
    for number in sorted(found, reverse=True):
        seen = found[number]
        # A worker that started later does not know versions that had ended before.
        if len(seen) < len(workers) and max(state for state, _ in seen) <= VersionState.AVAILABLE:
            seen.append((VersionState.START, None))
        states = [state for state, _ in seen]
        state = min(states) if min(states) < VersionState.AVAILABLE else max(states)
        error = next((failure for one, failure in seen if one == state and failure), None)
        statuses.append(CombinedStatus(number, state, error))
    return statuses
