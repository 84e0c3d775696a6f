"""The worker pool: what the supervisor knows of its workers, and asks them all for one of them.

A configuration is what all have agreed on, so it is kept here; so are the counts of workers that have died.
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

from atelier_serving.monitoring.registry import Snapshot, added, from_json, to_json
from atelier_serving.monitoring.request_metrics import RequestMetrics
from atelier_serving.status import Code, ServingError
from atelier_serving.workers.channel import Channel

_log = logging.getLogger(__name__)

# What is asked of all is known within this, or taken from what was known before.
_SECONDS = 1.0
# A configuration may be large, and looking up its labels has to wait for loads that begin or end.
_AGREE_SECONDS = 5.0


@dataclass(eq=False)
class Worker:
    """One worker. `pause` (seconds) was made before its start; `last` is what it last said of each model."""

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
    """All workers. Thread-safe; each question of a worker is answered in a thread of its own."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.started = False
        self._workers: list[Worker] = []
        self._number = 0
        self._models: list[Any] | None = None
        self._gone: Snapshot = {}
        self._registry = RequestMetrics(None).registry
        self._lock = threading.Lock()
        # Held while a configuration is agreed on or a worker becomes ready: none may miss one.
        self._agreeing = threading.Lock()

    def workers(self) -> list[Worker]:
        """Those that live, ready or not."""
        with self._lock:
            return list(self._workers)

    def add(self, worker: Worker) -> None:
        """A worker has been started."""
        with self._lock:
            self._workers.append(worker)

    def remove(self, worker: Worker) -> None:
        """A worker has died: its counts stay."""
        with self._lock:
            self._workers.remove(worker)
            self._gone = added([self._gone, self._registry.counters(worker.snapshot)])

    def handlers(self, worker: Worker) -> dict[str, Callable[..., Any]]:
        """What `worker` may ask."""
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
        """What each ready worker answers, None for one that does not in time; one that has died is left out.

        Raises `ServingError` as the first one does that refuses.
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
        """Whether the worker may listen: {"ready": bool}, with "configuration" when there is a newer one than its.

        At the first start all do so together: clients that wait for the port would else all be the first one's. Later
        a worker has to answer for what all others do: a version that they hold although it has gone from the disk
        keeps it waiting.
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
        """What all other workers answer for and this one does not, or nothing."""
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
        """A worker has read its configuration file; the others do so themselves."""
        self._models = models

    def _reload(self, models: list[Any]) -> int:
        """Have all workers take over a configuration, or none; its number. Raises as the first that refuses does."""
        with self._agreeing:
            for _, answer in self._ask("check", models, seconds=_AGREE_SECONDS):
                if answer is None:
                    raise ServingError(Code.UNAVAILABLE, "A worker does not answer; nothing is changed.")
            self._number += 1
            self._models = models
            for worker, answer in self._ask("apply", self._number, models, seconds=_AGREE_SECONDS):
                if answer is None:
                    # Its successor begins with the new configuration.
                    worker.process.kill()
            return self._number

    def _settled(self, number: int) -> bool:
        """Whether what configuration `number` brought has come up in all workers. Raises what one of them does."""
        return all(answer for _, answer in self._ask("settled", number))

    def _versions(self, name: str) -> list[list[Any]]:
        """Each ready worker's versions of a model; of one that does not answer, those it told of last."""
        found = []
        for worker, answer in self._ask("versions", name):
            versions = worker.last.get(name, []) if answer is None else answer
            # Of names that no worker knows nothing is kept: clients may send any.
            if versions:
                worker.last[name] = versions
            found.append(versions)
        return found

    def _snapshots(self) -> list[dict[str, Any]]:
        """The metrics of each worker, those of the dead added up; of one that does not answer, the last known."""
        answers = [(m, *answer) for m, answer in self._ask("snapshot") if answer is not None]
        with self._lock:
            for worker, taken, document in answers:
                # Two scrapes at a time may get theirs in either order.
                if taken > worker.taken:
                    worker.taken = taken
                    worker.snapshot = from_json(document)
            lasting = [worker.snapshot for worker in self._workers if worker.snapshot]
            return [to_json(snapshot) for snapshot in (*lasting, self._gone)]
