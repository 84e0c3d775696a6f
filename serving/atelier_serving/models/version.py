"""The life of one version: its state, its servable, and the requests that are using it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from atelier_serving import memory
from atelier_serving.models.servable import Servable
from atelier_serving.status import ServingError, of_exception

_log = logging.getLogger(__name__)

# An unload waits so long for requests. A request that never ends must not keep the memory of its version for ever.
UNLOAD_WAIT_SECONDS = 60.0


class VersionState(IntEnum):
    """The states of a version (apis/get_model_status.proto)."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


class VersionStatus(Protocol):
    """What the API reports about a version."""

    @property
    def number(self) -> int:
        """The name of its folder."""

    @property
    def state(self) -> VersionState:
        """Its state."""

    @property
    def error(self) -> ServingError | None:
        """The error that ended it, or None."""


class Version:
    """One version of one model. The manager calls `load` and `unload`, each in its own thread."""

    def __init__(self, model: str, number: int, path: Path, changed: Callable[[Version], None]) -> None:
        self.model = model
        self.number = number
        self.path = path
        self.state = VersionState.START
        self.error: ServingError | None = None
        self.failures = 0
        self.wanted = threading.Event()
        self.wanted.set()
        self._changed = changed
        self._servable: Servable | None = None
        self._users = 0
        self._idle = threading.Condition()

    def __str__(self) -> str:
        return f"{{name: {self.model} version: {self.number}}}"

    @contextmanager
    def use(self) -> Iterator[Servable | None]:
        """The servable for one request, kept loaded in the `with` block. None when the version is not AVAILABLE."""
        with self._idle:
            servable = self._servable if self.state == VersionState.AVAILABLE else None
            self._users += servable is not None
        try:
            yield servable
        finally:
            if servable is not None:
                with self._idle:
                    self._users -= 1
                    self._idle.notify_all()

    def load(
        self, loader: Callable[[Path], Servable], attempts: int, interval: float, stop: threading.Event
    ) -> None:
        """Load with retries. Then the state is AVAILABLE, or END with the error. Stops when the version is not wanted.

        Between retries the state stays LOADING and there is no error, as in TensorFlow Serving.
        """
        self._move(VersionState.LOADING)
        while True:
            try:
                servable = loader(self.path)
            except Exception as error:
                known = of_exception(error)
                # A new error object: the frames of the raised one keep the half-loaded graph alive.
                failure = ServingError(known.code, known.message)
            else:
                with self._idle:
                    self._servable = servable
                self._move(VersionState.AVAILABLE)
                return
            memory.trim()
            self.failures += 1
            if not self.wanted.is_set() or self.failures >= attempts:
                break
            _log.warning(
                f"Retrying of Loading servable: {self} retry: {self.failures} in {interval:g} s, after: {failure}"
            )
            self._changed(self)
            if stop.wait(interval) or not self.wanted.is_set():
                break
        self.error = failure
        self._move(VersionState.END)

    def unload(self) -> None:
        """Take no more requests, wait for those in flight, and free the session."""
        with self._idle:
            servable = self._servable
            self._servable = None
            self.state = VersionState.UNLOADING
        self._move(VersionState.UNLOADING)
        if servable is not None:
            with self._idle:
                self._idle.wait_for(lambda: self._users == 0, timeout=UNLOAD_WAIT_SECONDS)
            servable.close()
            servable = None
            memory.trim()
        self._move(VersionState.END)

    def _move(self, state: VersionState) -> None:
        self.state = state
        _log.info(f"Servable {self} is {state.name}" + (f": {self.error}" if self.error else ""))
        self._changed(self)
