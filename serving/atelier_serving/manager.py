"""The manager: makes what is loaded equal to what is wanted, without a moment in which nothing answers.

Rules: core/aspired_versions_manager.cc, core/availability_preserving_policy.cc, model_servers/server_core.cc at 2.20.0.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from atelier_serving.config import ModelSettings
from atelier_serving.servable import Servable
from atelier_serving.source import scan
from atelier_serving.status import Code, ServingError, invalid
from atelier_serving.version import State, Version, print_state


class Manager:
    """Every model and version this process knows. Thread-safe; each load and unload has a thread of its own."""

    def __init__(
        self,
        loader: Callable[[Path], Servable],
        *,
        attempts: int,
        retry_seconds: float,
        labels_for_unavailable: bool,
    ) -> None:
        self._loader, self._attempts, self._retry_seconds = loader, attempts, retry_seconds
        self._labels_for_unavailable = labels_for_unavailable
        self._models: dict[str, ModelSettings] = {}
        self._versions: dict[str, dict[int, Version]] = {}
        self._wanted: dict[str, set[int]] = {}
        self._warned: set[str] = set()
        self._changed = threading.Condition(threading.RLock())
        self._reloading = threading.Lock()
        self._stop = threading.Event()

    def configure(self, models: list[ModelSettings], deadline: float | None = None) -> None:
        """Serve these models and no others; wait until each new one has a version AVAILABLE or END.

        `deadline` is a time.monotonic() value. Raises `ServingError`: FAILED_PRECONDITION for a label on a version
        that does not answer, UNKNOWN when a new model did not load, DEADLINE_EXCEEDED.
        """
        with self._reloading:
            wanted = {model.name: model for model in models}
            with self._changed:
                self._check_labels(wanted)
                new = [name for name in wanted if name not in self._models]
                gone = [name for name in self._models if name not in wanted]
                self._models = wanted
                for name in gone:
                    self._want(name, {})
            self.poll()
            self._await_new(new, deadline)

    def poll(self) -> None:
        """Look at every base path once and start what follows from it."""
        with self._changed:
            models = list(self._models.values())
        for model in models:
            found = scan(model.base_path)
            if found is None:
                self._warn(
                    model.name, f"Could not find base path {model.base_path} for servable {model.name}"
                )
                continue
            if not found:
                self._warn(
                    model.name,
                    f"No versions of servable {model.name} found under base path {model.base_path}. "
                    "Did you forget to name your leaf directory as a number (eg. '/1/')?",
                )
            chosen = model.wanted(list(found))
            with self._changed:
                if self._models.get(model.name) is model:
                    self._want(model.name, {number: found[number] for number in chosen})

    @contextmanager
    def use(self, name: str, version: int | None, label: str | None) -> Iterator[tuple[Servable, int]]:
        """Hold the servable that answers a model spec: (servable, version). Raises `ServingError`."""
        if not name:
            raise invalid("ModelSpec has no name specified.")
        if label is not None:
            version = self._labelled(name, label)
        # A version may be dropped between the choice and the use; the next one has answered since before that.
        for _ in range(3):
            chosen = self._choose(name, version)
            if chosen is None:
                break
            with chosen.use() as servable:
                if servable is not None:
                    yield servable, chosen.number
                    return
        target = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {target}")

    def versions(self, name: str) -> list[Version]:
        """Every version of the model this process has ever seen, highest first."""
        with self._changed:
            return [
                self._versions[name][number] for number in sorted(self._versions.get(name, {}), reverse=True)
            ]

    def stop(self) -> None:
        """End waiting retries; loaded sessions live until the process ends."""
        self._stop.set()

    def _labelled(self, name: str, label: str) -> int:
        model = self._models.get(name)
        if model is None or label not in model.labels:
            raise invalid(f"Unrecognized servable version label: {label}")
        return model.labels[label]

    def _choose(self, name: str, number: int | None) -> Version | None:
        with self._changed:
            versions = self._versions.get(name, {})
            if number is not None:
                return versions.get(number)
            available = [item for item in versions.values() if item.state == State.AVAILABLE]
            return max(available, key=lambda item: item.number, default=None)

    def _check_labels(self, wanted: dict[str, ModelSettings]) -> None:
        for model in wanted.values():
            old = self._models[model.name].labels if model.name in self._models else {}
            for label, number in model.labels.items():
                exempt = self._labels_for_unavailable and old.get(label, number) == number
                version = self._versions.get(model.name, {}).get(number)
                if not exempt and (version is None or version.state != State.AVAILABLE):
                    raise ServingError(
                        Code.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {model.name}, "
                        "which is not currently available for inference",
                    )

    def _want(self, name: str, wanted: dict[int, Path]) -> None:
        """Start loading what is newly wanted, then drop what is not (held: self._changed)."""
        versions = self._versions.setdefault(name, {})
        self._wanted[name] = set(wanted)
        for number, path in wanted.items():
            old = versions.get(number)
            # A version that ended is loaded again only after its folder was gone for a poll.
            if old is None or (old.state == State.END and not old.wanted.is_set()):
                versions[number] = Version(name, number, path, self._on_change)
                arguments = (self._loader, self._attempts, self._retry_seconds, self._stop)
                _in_thread(versions[number].load, *arguments)
        for number, version in versions.items():
            if number not in wanted:
                version.wanted.clear()
        self._settle(name)

    def _settle(self, name: str) -> None:
        """Unload the unwanted once something wanted answers, or at once when nothing is (held: self._changed)."""
        versions, wanted = self._versions[name], self._wanted[name]
        answering = any(versions[number].state == State.AVAILABLE for number in wanted if number in versions)
        if answering or not wanted:
            for version in versions.values():
                if not version.wanted.is_set() and version.state == State.AVAILABLE:
                    version.state = State.UNLOADING
                    _in_thread(version.unload)

    def _on_change(self, version: Version) -> None:
        with self._changed:
            self._settle(version.model)
            self._changed.notify_all()

    def _await_new(self, names: list[str], deadline: float | None) -> None:
        def settled(name: str) -> bool:
            states = {version.state for version in self.versions(name)}
            return bool(states & {State.AVAILABLE, State.END})

        with self._changed:
            while not all(settled(name) for name in names):
                if self._stop.is_set():
                    return
                if deadline is not None and time.monotonic() > deadline:
                    raise ServingError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
                self._changed.wait(timeout=0.2)
                self._changed.release()
                try:
                    # The folder of a new model may appear while we wait for it.
                    self.poll()
                finally:
                    self._changed.acquire()
            failed = [
                next(version for version in self.versions(name) if version.state == State.END)
                for name in names
                if not any(version.state == State.AVAILABLE for version in self.versions(name))
            ]
        if failed:
            causes = "".join(f"{{{version} due to error: {version.error}}}, " for version in failed)
            raise ServingError(Code.UNKNOWN, f"{len(failed)} model(s) did not become available: {{{causes}}}")

    def _warn(self, name: str, text: str) -> None:
        """Say once what is missing, not at every poll."""
        if text not in self._warned:
            self._warned.add(text)
            print_state(text)


def _in_thread(target: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()
