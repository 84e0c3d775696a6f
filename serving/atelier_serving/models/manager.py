"""The manager: makes what is loaded equal to what is wanted, without a moment in which nothing answers.

Rules: core/aspired_versions_manager.cc, core/availability_preserving_policy.cc, model_servers/server_core.cc at 2.20.0.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from atelier_serving.models.servable import Servable
from atelier_serving.models.settings import PLATFORM, ModelSettings
from atelier_serving.models.source import scan
from atelier_serving.models.version import Version, VersionState
from atelier_serving.request_context import current
from atelier_serving.status import Code, ServingError, invalid

_log = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 0.2


@dataclass(frozen=True)
class Reload:
    """A configuration that has been taken over, and the names that were new in it."""

    models: dict[str, ModelSettings]
    new: list[str]


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
        self._loader = loader
        self._attempts = attempts
        self._retry_seconds = retry_seconds
        self._labels_for_unavailable = labels_for_unavailable
        self._models: dict[str, ModelSettings] = {}
        self._configured = False
        self._versions: dict[str, dict[int, Version]] = {}
        self._wanted: dict[str, dict[int, Path]] = {}
        self._warned: dict[str, list[str]] = {}
        self._changed = threading.Condition(threading.RLock())
        self._polling = threading.Lock()
        self._stop = threading.Event()

    def start(self, models: list[ModelSettings] | None, accepted: bool = False) -> None:
        """Serve these models; return when one of them answers and each of the others does, has failed, or is not there.

        A model that does not load, or whose folder is not there (yet), keeps no other waiting; it is tried further.
        `accepted`: this has been checked where it was accepted, so labels may be of versions that come later.
        Raises `ServingError` when every model has failed for good: UNKNOWN.
        """
        # What was imported stays; not looked through at every collection, it makes those after an unload short.
        gc.freeze()
        if models is None:
            # Labels stay unusable until there is a first configuration.
            _log.info("Taking no action for empty config.")
            return
        self.apply(models, accepted)
        self.poll()
        names = [model.name for model in models]
        while not self._stop.is_set():
            with self._changed:
                answering = any(self._answers(name) for name in names)
                if all(self._settled(name) for name in names):
                    break
                if answering and not any(self._first_attempt(name) for name in names):
                    break
                self._changed.wait(_LOOK_AGAIN_SECONDS)
            self.poll()
        if names and not answering and not self._stop.is_set():
            raise self._not_available(names, "servable(s)")

    def reload(self, models: list[ModelSettings], waiting: Callable[[], bool]) -> None:
        """Serve these models and no others; wait until each new one has a version AVAILABLE or END.

        `waiting` says whether the caller still waits. Raises `ServingError` as `configure` does, UNKNOWN when a new
        model did not load, DEADLINE_EXCEEDED, and ABORTED when a newer configuration came meanwhile.
        """
        reload = self.apply(models)
        self.poll()
        while True:
            with self._changed:
                if self.settled(reload):
                    break
                self._changed.wait(_LOOK_AGAIN_SECONDS)
            if not waiting():
                raise ServingError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
            # The folder of a new model may appear while we wait for it.
            self.poll()

    def settled(self, reload: Reload) -> bool:
        """Whether each new model has a version AVAILABLE or END. Raises `ServingError` as `reload` does."""
        with self._changed:
            if self._stop.is_set() or self._models is not reload.models:
                raise ServingError(Code.ABORTED, "Another configuration has replaced this one.")
            if not all(self._settled(name) for name in reload.new):
                return False
        if not all(self._answers(name) for name in reload.new):
            raise self._not_available(reload.new, "model(s)")
        return True

    def configure(self, models: list[ModelSettings] | None) -> None:
        """Serve these models and no others, without waiting for them.

        Raises `ServingError`, and changes nothing: FAILED_PRECONDITION for a label on a version that does not answer,
        INVALID_ARGUMENT for a platform that is not served.
        """
        if models is not None:
            self.apply(models)
            self.poll()
        elif self._configured:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                "Cannot transition to requested config. It is only legal to transition from one ModelConfigList "
                "to another.",
            )

    def poll(self) -> None:
        """Look at every base path once and start what follows from it."""
        # One at a time: what an older look has found must not undo what a newer one has.
        with self._polling:
            with self._changed:
                models = list(self._models.values())
            self._warned = {model.name: self._warned.get(model.name, []) for model in models}
            for model in models:
                warnings: list[str] = []
                found = scan(model.base_path, warnings.append)
                self._warn(model, found, warnings)
                if found is not None:
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
        request_context = current()
        # A version may be dropped between the choice and the use; the next one has answered since before that.
        for _ in range(3):
            chosen = self._choose(name, version)
            if chosen is None:
                break
            with chosen.use() as servable:
                if servable is not None:
                    request_context.model = name
                    request_context.version = chosen.number
                    yield servable, chosen.number
                    return
        target = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {target}")

    def settings(self) -> list[ModelSettings] | None:
        """The configuration; None before there is one."""
        with self._changed:
            return list(self._models.values()) if self._configured else None

    def names(self) -> list[str]:
        """The configured models."""
        with self._changed:
            return list(self._models)

    def versions(self, name: str) -> list[Version]:
        """Every version of the model this process has ever seen, highest first."""
        with self._changed:
            return [
                self._versions[name][number] for number in sorted(self._versions.get(name, {}), reverse=True)
            ]

    def stop(self) -> None:
        """End waiting retries; loaded sessions live until the process ends."""
        self._stop.set()

    def check(self, models: list[ModelSettings]) -> None:
        """Whether a configuration may be taken over. Raises `ServingError` as `configure` does."""
        wanted = {model.name: model for model in models}
        with self._changed:
            self._check_platform_changes(wanted)
            self._check_labels(wanted)
        for model in models:
            if model.platform != PLATFORM:
                raise invalid(f"Model {model.name} requests unsupported platform {model.platform}")

    def apply(self, models: list[ModelSettings], accepted: bool = False) -> Reload:
        """Check, unless it was `accepted` before, and take over a configuration; `poll` starts what follows from it."""
        wanted = {model.name: model for model in models}
        with self._changed:
            if not accepted:
                self.check(models)
            new = [name for name in wanted if name not in self._models]
            gone = [name for name in self._models if name not in wanted]
            self._models = wanted
            self._configured = True
            for name in gone:
                self._want(name, {})
                if not self._versions[name]:
                    # Clients may send any names: of those that never had a version nothing is kept.
                    del self._versions[name], self._wanted[name]
            return Reload(wanted, new)

    def _labelled(self, name: str, label: str) -> int:
        if not self._configured:
            raise ServingError(Code.UNAVAILABLE, f"Model labels does not init yet.{label}")
        model = self._models.get(name)
        if model is None or label not in model.labels:
            raise invalid(f"Unrecognized servable version label: {label}")
        return model.labels[label]

    def _choose(self, name: str, number: int | None) -> Version | None:
        with self._changed:
            versions = self._versions.get(name, {})
            if number is not None:
                return versions.get(number)
            available = [item for item in versions.values() if item.state == VersionState.AVAILABLE]
            return max(available, key=lambda item: item.number, default=None)

    def _check_platform_changes(self, wanted: dict[str, ModelSettings]) -> None:
        for name, model in wanted.items():
            old = self._models.get(name)
            if old is not None and old.platform != model.platform:
                raise invalid(
                    f"Illegal to change a model's platform. For model {name} platform was {old.platform} "
                    f"and new platform requested is {model.platform}"
                )

    def _check_labels(self, wanted: dict[str, ModelSettings]) -> None:
        for model in wanted.values():
            old = self._models[model.name].labels if model.name in self._models else {}
            for label, number in model.labels.items():
                exempt = self._labels_for_unavailable and old.get(label, number) == number
                version = self._versions.get(model.name, {}).get(number)
                if not exempt and (version is None or version.state != VersionState.AVAILABLE):
                    raise ServingError(
                        Code.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {model.name}, "
                        "which is not currently available for inference",
                    )

    def _want(self, name: str, wanted: dict[int, Path]) -> None:
        """Start loading what is newly wanted, then drop what is not (held: self._changed)."""
        versions = self._versions.setdefault(name, {})
        self._wanted[name] = wanted
        for number in wanted:
            old = versions.get(number)
            if old is not None and old.state < VersionState.UNLOADING:
                old.wanted.set()
            # A version that ended is loaded again only after its folder was gone for a poll.
            elif old is None or (old.state == VersionState.END and not old.wanted.is_set()):
                self._load(name, number)
        for number, version in versions.items():
            if number not in wanted:
                version.wanted.clear()
        self._settle(name)

    def _load(self, name: str, number: int) -> None:
        version = Version(name, number, self._wanted[name][number], self._on_change)
        self._versions[name][number] = version
        _in_thread(version.load, self._loader, self._attempts, self._retry_seconds, self._stop)

    def _settle(self, name: str) -> None:
        """Unload the unwanted once something wanted answers, or at once when nothing is (held: self._changed)."""
        versions, wanted = self._versions[name], self._wanted[name]
        answering = any(
            versions[number].state == VersionState.AVAILABLE for number in wanted if number in versions
        )
        if answering or not wanted:
            for version in versions.values():
                if not version.wanted.is_set() and version.state == VersionState.AVAILABLE:
                    version.state = VersionState.UNLOADING
                    _in_thread(version.unload)

    def _on_change(self, version: Version) -> None:
        with self._changed:
            name, number = version.model, version.number
            # Wanted again while it was on its way out.
            if (
                version.state == VersionState.END
                and number in self._wanted[name]
                and not version.wanted.is_set()
            ):
                self._load(name, number)
            self._settle(name)
            self._changed.notify_all()

    def _answers(self, name: str) -> bool:
        return any(version.state == VersionState.AVAILABLE for version in self.versions(name))

    def _settled(self, name: str) -> bool:
        """Whether something that is wanted now has come up or failed; what ended in an earlier life does not count."""
        wanted = self._wanted.get(name, {})
        return any(
            version.number in wanted
            and version.wanted.is_set()
            and version.state in (VersionState.AVAILABLE, VersionState.END)
            for version in self.versions(name)
        )

    def _first_attempt(self, name: str) -> bool:
        """Whether the model may still come up at once: something is loading that has not failed before."""
        return not self._settled(name) and any(not version.failures for version in self.versions(name))

    def _not_available(self, names: list[str], noun: str) -> ServingError:
        failed = [
            max((item for item in self.versions(name) if item.error), key=lambda item: item.number)
            for name in names
            if not self._answers(name)
        ]
        causes = "".join(f"{{{version} due to error: {version.error}}}, " for version in failed)
        return ServingError(Code.UNKNOWN, f"{len(failed)} {noun} did not become available: {{{causes}}}")

    def _warn(self, model: ModelSettings, found: dict[int, Path] | None, warnings: list[str]) -> None:
        """Say what is wrong with a base path when it begins to be, not at every poll."""
        if found is None:
            warnings.append(f"Could not find base path {model.base_path} for servable {model.name}")
        elif not found:
            warnings.append(
                f"No versions of servable {model.name} found under base path {model.base_path}. "
                "Did you forget to name your leaf directory as a number (eg. '/1/')?"
            )
        else:
            warnings += [
                f"Version {number} of servable {model.name}, which was requested to be served as a 'specific' version "
                "in the servable's version policy, was not found in the file system"
                for number in model.specific or ()
                if number not in found
            ]
        for text in warnings:
            if text not in self._warned[model.name]:
                _log.warning(text)
        self._warned[model.name] = warnings


def _in_thread(target: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()
