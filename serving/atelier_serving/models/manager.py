"""The manager: loads and unloads versions as the configuration says, so that each model always has one that serves.

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

from atelier_serving.models.base_path_warnings import BasePathWarnings
from atelier_serving.models.servable import Servable
from atelier_serving.models.settings import ModelSettings
from atelier_serving.models.source import scan
from atelier_serving.models.transition import check_transition
from atelier_serving.models.version import Version, VersionState
from atelier_serving.request_context import current
from atelier_serving.status import Code, ServingError, invalid

_log = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 0.2


@dataclass(frozen=True)
class Reload:
    """A configuration that was applied, and the names of its new models."""

    models: dict[str, ModelSettings]
    new: list[str]


class Manager:
    """All models and versions of this process. Thread-safe. Each load and each unload runs in its own thread."""

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
        self._warnings = BasePathWarnings()
        self._changed = threading.Condition(threading.RLock())
        self._polling = threading.Lock()
        self._stop = threading.Event()

    def start(self, models: list[ModelSettings] | None, accepted: bool = False) -> None:
        """Serve these models, and wait for them.

        Returns when one model is AVAILABLE and each of the others is AVAILABLE, has failed once, or has no versions.
        Such models are tried further. `accepted` says that the configuration was checked before, in another process;
        then a label may name a version that is not loaded yet.
        Raises `ServingError` UNKNOWN when all models have failed for good.
        """
        # Imported modules are never freed. When the garbage collector skips them, the collection after an unload is
        # short.
        gc.freeze()
        if models is None:
            # Labels cannot be used before the first configuration.
            _log.info("Taking no action for empty config.")
            return
        self.apply(models, accepted)
        self.poll()
        names = [model.name for model in models]
        self._tell_waiting(models)
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

    def _tell_waiting(self, models: list[ModelSettings]) -> None:
        """Log what nothing is loaded of: as in TensorFlow Serving, the wait for it has no end."""
        with self._changed:
            missing = [model for model in models if not self._wanted.get(model.name)]
        for model in missing:
            numbers = ", ".join(map(str, model.specific or ()))
            _log.warning(
                f"Waiting for {'version ' + numbers if numbers else 'a version'} of {model.name} to appear in "
                f"{model.base_path}. Until one model is loaded, the ports are closed."
            )

    def reload(self, models: list[ModelSettings], waiting: Callable[[], bool]) -> None:
        """Serve these models and no others. Wait until each new model has a version that is AVAILABLE or END.

        `waiting` says whether the caller still waits. Raises `ServingError` as `configure`; also UNKNOWN when a new
        model did not load, DEADLINE_EXCEEDED, and ABORTED when a newer configuration replaced this one.
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
            # The folder of a new model may appear while this thread waits.
            self.poll()

    def settled(self, reload: Reload) -> bool:
        """True when each new model has a version that is AVAILABLE or END. Raises `ServingError` as `reload`."""
        with self._changed:
            if self._stop.is_set() or self._models is not reload.models:
                raise ServingError(Code.ABORTED, "Another configuration has replaced this one.")
            if not all(self._settled(name) for name in reload.new):
                return False
        if not all(self._answers(name) for name in reload.new):
            raise self._not_available(reload.new, "model(s)")
        return True

    def configure(self, models: list[ModelSettings] | None) -> None:
        """Serve these models and no others. Does not wait for them.

        Raises `ServingError` and changes nothing: FAILED_PRECONDITION for a label of a version that is not AVAILABLE,
        INVALID_ARGUMENT for a platform that is not supported.
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
        """Scan every base path once, and start the loads and unloads that follow from it."""
        # Only one poll runs at a time. Otherwise an older scan could undo the result of a newer one.
        with self._polling:
            with self._changed:
                models = list(self._models.values())
            self._warnings.keep([model.name for model in models])
            for model in models:
                warnings: list[str] = []
                found = scan(model.base_path, warnings.append)
                self._warnings.report(model, found, warnings)
                if found is not None:
                    chosen = model.wanted(list(found))
                    with self._changed:
                        if self._models.get(model.name) is model:
                            self._set_wanted(model.name, {number: found[number] for number in chosen})

    @contextmanager
    def use(self, name: str, version: int | None, label: str | None) -> Iterator[tuple[Servable, int]]:
        """The servable of a model spec, kept loaded in the `with` block: (servable, version). Raises `ServingError`."""
        if not name:
            raise invalid("ModelSpec has no name specified.")
        if label is not None:
            version = self._labelled(name, label)
        request_context = current()
        # The chosen version may be unloaded before it is used. Then a newer version is already AVAILABLE.
        for _ in range(3):
            chosen = self._choose(name, version)
            if chosen is None:
                break
            with chosen.use() as servable:
                if servable is not None:
                    request_context.model = name
                    request_context.version = chosen.number
                    request_context.label = label or ""
                    yield servable, chosen.number
                    return
        target = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {target}")

    def settings(self) -> list[ModelSettings] | None:
        """The configuration. None before the first one."""
        with self._changed:
            return list(self._models.values()) if self._configured else None

    def names(self) -> list[str]:
        """The names of the configured models."""
        with self._changed:
            return list(self._models)

    def versions(self, name: str) -> list[Version]:
        """All versions of the model that this process has ever seen, highest first."""
        with self._changed:
            return [
                self._versions[name][number] for number in sorted(self._versions.get(name, {}), reverse=True)
            ]

    def stop(self) -> None:
        """End the retries that wait. Loaded sessions stay until the process ends."""
        self._stop.set()

    def check(self, models: list[ModelSettings]) -> None:
        """Raises `ServingError` as `configure` when the configuration must not be applied."""
        wanted = {model.name: model for model in models}
        with self._changed:
            check_transition(self._models, wanted, self._is_available, self._labels_for_unavailable)

    def apply(self, models: list[ModelSettings], accepted: bool = False) -> Reload:
        """Apply a configuration, and check it first unless it was `accepted` before. Then call `poll`."""
        wanted = {model.name: model for model in models}
        with self._changed:
            if not accepted:
                self.check(models)
            new = [name for name in wanted if name not in self._models]
            gone = [name for name in self._models if name not in wanted]
            self._models = wanted
            self._configured = True
            for name in gone:
                self._set_wanted(name, {})
                if not self._versions[name]:
                    # Clients may send any names. So nothing is kept for a model that never had a version.
                    del self._versions[name], self._wanted[name]
            return Reload(wanted, new)

    def _is_available(self, name: str, number: int) -> bool:
        version = self._versions.get(name, {}).get(number)
        return version is not None and version.state == VersionState.AVAILABLE

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

    def _set_wanted(self, name: str, wanted: dict[int, Path]) -> None:
        """Load the versions that are newly wanted, and unload the others. The caller holds self._changed."""
        versions = self._versions.setdefault(name, {})
        self._wanted[name] = wanted
        for number in wanted:
            old = versions.get(number)
            if old is not None and old.state < VersionState.UNLOADING:
                old.wanted.set()
            # A version that has ended is loaded again only when its folder was missing in a poll before.
            elif old is None or (old.state == VersionState.END and not old.wanted.is_set()):
                self._load(name, number)
        for number, version in versions.items():
            if number not in wanted:
                version.wanted.clear()
        self._unload_unwanted(name)

    def _load(self, name: str, number: int) -> None:
        version = Version(name, number, self._wanted[name][number], self._on_change)
        self._versions[name][number] = version
        _in_thread(version.load, self._loader, self._attempts, self._retry_seconds, self._stop)

    def _unload_unwanted(self, name: str) -> None:
        """Unload unwanted versions when a wanted one is AVAILABLE or none is wanted. The caller holds self._changed."""
        versions = self._versions[name]
        wanted = self._wanted[name]
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
            name = version.model
            number = version.number
            # This version became wanted again while it was being unloaded.
            if (
                version.state == VersionState.END
                and number in self._wanted[name]
                and not version.wanted.is_set()
            ):
                self._load(name, number)
            self._unload_unwanted(name)
            self._changed.notify_all()

    def _answers(self, name: str) -> bool:
        return any(version.state == VersionState.AVAILABLE for version in self.versions(name))

    def _settled(self, name: str) -> bool:
        """True when a wanted version is AVAILABLE or has failed. One that ended before it was wanted does not count."""
        wanted = self._wanted.get(name, {})
        return any(
            version.number in wanted
            and version.wanted.is_set()
            and version.state in (VersionState.AVAILABLE, VersionState.END)
            for version in self.versions(name)
        )

    def _first_attempt(self, name: str) -> bool:
        """True when a version of the model is in its first attempt to load."""
        return not self._settled(name) and any(not version.failures for version in self.versions(name))

    def _not_available(self, names: list[str], noun: str) -> ServingError:
        failed = [
            max((item for item in self.versions(name) if item.error), key=lambda item: item.number)
            for name in names
            if not self._answers(name)
        ]
        causes = "".join(f"{{{version} due to error: {version.error}}}, " for version in failed)
        return ServingError(Code.UNKNOWN, f"{len(failed)} {noun} did not become available: {{{causes}}}")


def _in_thread(target: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()
