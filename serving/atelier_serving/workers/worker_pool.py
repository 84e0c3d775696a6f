"""The worker pool: the supervisor's data about its workers, and the questions that a worker asks of all workers.

It keeps the configuration that all workers have agreed on, and the counts of workers that have died.
"""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from atelier_serving.monitoring.registry import Snapshot, from_json, sum_snapshots, to_json
from atelier_serving.monitoring.request_metrics import RequestMetrics
from atelier_serving.status import Code, ServingError
from atelier_serving.workers.channel import Channel

_log = logging.getLogger(__name__)

# The workers have so long to answer. For one that does not, its last answer counts.
_SECONDS = 1.0
# Longer, because a configuration may be large, and the check of its labels waits for loads that begin or end.
_AGREE_SECONDS = 5.0


@dataclass(eq=False)
class Worker:
    """One worker. `pause` (seconds) was the pause before its start. `last` is its last answer about each model."""

    process: subprocess.Popen[bytes]
    pause: float
    channel: Channel = field(init=False)
    loaded: bool = False
    waits: bool = False
    ready: bool = False
    failure: ServingError | None = None
    taken: int = 0
    snapshot: Snapshot = field(default_factory=dict)
    last: dict[str, list[Any]] = field(default_factory=dict)


class WorkerPool:
    """All workers. Thread-safe. Each question of a worker is answered in its own thread."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.started = False
        self._workers: list[Worker] = []
        self._number = 0
        self._models: list[Any] | None = None
        self._gone: Snapshot = {}
        self._registry = RequestMetrics(None).registry
        self._lock = threading.Lock()
        # Held while the workers agree on a configuration, and while a worker becomes ready: so no worker misses one.
        self._agreeing = threading.Lock()

    def workers(self) -> list[Worker]:
        """The workers that are alive, ready or not."""
        with self._lock:
            return list(self._workers)

    def add(self, worker: Worker) -> None:
        """Add a worker that was started."""
        with self._lock:
            self._workers.append(worker)

    def remove(self, worker: Worker) -> None:
        """Remove a worker that has died. Its counts are kept."""
        with self._lock:
            self._workers.remove(worker)
            self._gone = sum_snapshots([self._gone, self._registry.counters(worker.snapshot)])

    def handlers(self, worker: Worker) -> dict[str, Callable[..., Any]]:
        """The handlers of the questions that `worker` may ask."""
        return {
            "configuration": lambda: [self._number, self._models],
            "ready": partial(self._ready, worker),
            "failed": partial(self._failed, worker),
            "configured": self._configured,
            "reload": self._reload,
            "settled": self._settled,
            "versions": self._versions,
            "snapshots": self._snapshots,
        }

    def _ask(self, question: str, *arguments: Any, seconds: float = _SECONDS) -> list[tuple[Worker, Any]]:
        """The answer of each ready worker. None when it does not answer in time; a dead worker is left out.

        Raises the `ServingError` of the first worker that refuses.
        """
        asked = [
            (worker, worker.channel.ask(question, *arguments)) for worker in self.workers() if worker.ready
        ]
        wait([future for _, future in asked], seconds)
        answers = []
        for worker, future in asked:
            try:
                answers.append((worker, future.result(0)))
            except TimeoutError:
                answers.append((worker, None))
            except ConnectionError:
                pass
        return answers

    def _ready(
        self, worker: Worker, number: int, available: dict[str, list[int]], models: list[Any] | None
    ) -> dict[str, Any]:
        """Whether the worker may listen: {"ready": bool}, and "configuration" when there is a newer one.

        At the first start all workers begin to listen together: otherwise the first one would get all clients that wait
        for the port. Later a worker may listen when it has all versions that all others have. So it waits when they
        still have a version that is no longer on disk.
        """
        with self._agreeing:
            if number != self._number:
                return {"ready": False, "configuration": [self._number, self._models]}
            worker.loaded = True
            if not self.started:
                workers = self.workers()
                self.started = len(workers) == self._size and all(one.loaded for one in workers)
            if not self.started:
                return {"ready": False}
            if lacking := self._lacking(available):
                if not worker.waits:
                    worker.waits = True
                    _log.warning(
                        f"Worker {worker.process.pid} waits until it has {lacking}, as the others do."
                    )
                return {"ready": False}
            worker.ready = True
            if self._models is None:
                self._models = models
            return {"ready": True}

    def _lacking(self, available: dict[str, list[int]]) -> str:
        """The versions that all other workers have and this one does not, as a text; empty when there are none."""
        others = [
            {(name, version) for name, versions in answer.items() for version in versions}
            for _, answer in self._ask("available")
            if answer is not None
        ]
        mine = {(name, version) for name, versions in available.items() for version in versions}
        lacking = set.intersection(*others) - mine if others else set()
        return ", ".join(f"{name} version {version}" for name, version in sorted(lacking))

    def _failed(self, worker: Worker, code: int, message: str) -> None:
        worker.failure = ServingError(Code(code), message)

    def _configured(self, models: list[Any]) -> None:
        """Keep the configuration that a worker has read from its file. The other workers read the file themselves."""
        self._models = models

    def _reload(self, models: list[Any]) -> int:
        """Apply a configuration in all workers or in none; return its number. Raises as the first one that refuses."""
        with self._agreeing:
            for _, answer in self._ask("check", models, seconds=_AGREE_SECONDS):
                if answer is None:
                    raise ServingError(Code.UNAVAILABLE, "A worker does not answer; nothing is changed.")
            self._number += 1
            self._models = models
            for worker, answer in self._ask("apply", self._number, models, seconds=_AGREE_SECONDS):
                if answer is None:
                    # The worker that replaces it starts with the new configuration.
                    worker.process.kill()
            return self._number

    def _settled(self, number: int) -> bool:
        """True when the new models of configuration `number` are settled in all workers. Raises as one of them."""
        return all(answer for _, answer in self._ask("settled", number))

    def _versions(self, name: str) -> list[list[Any]]:
        """The versions of a model in each ready worker. When one does not answer, its last answer counts."""
        found = []
        for worker, answer in self._ask("versions", name):
            versions = worker.last.get(name, []) if answer is None else answer
            # Nothing is kept for names that no worker knows, because clients may send any names.
            if versions:
                worker.last[name] = versions
            found.append(versions)
        return found

    def _snapshots(self) -> list[dict[str, Any]]:
        """The metrics of each worker, and the sum of those of dead ones. Without an answer, the last metrics count."""
        answers = [(m, *answer) for m, answer in self._ask("snapshot") if answer is not None]
        with self._lock:
            for worker, taken, document in answers:
                # Two scrapes at the same time may get their answers in any order. An older answer is ignored.
                if taken > worker.taken:
                    worker.taken = taken
                    worker.snapshot = from_json(document)
            lasting = [worker.snapshot for worker in self._workers if worker.snapshot]
            return [to_json(snapshot) for snapshot in (*lasting, self._gone)]
