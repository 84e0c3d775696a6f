"""Follows a file of weights, `{"shoes": {"stable": 99, "canary": 1}}` (docs/contracts.md, section 1)."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from atelier_client._files import read_bytes
from atelier_client.errors import DataError, SettingsError
from atelier_client.routing.weights import Weights, check

LOOK_SECONDS = 1.0

_log = logging.getLogger("atelier_client")


class WeightsFile:
    """The weights of one model in a file that another process replaces. Thread-safe.

    The file is looked at no more than once a second, and read when it is another one than before. Without the file, or
    without the model in it, everything goes to `fallback`. A damaged file leaves the weights as they were, which is
    logged once for each damaged file.
    """

    def __init__(self, path: Path, model: str, fallback: str, clock: Callable[[], float]) -> None:
        self.path = path
        self._model = model
        self._default = Weights({fallback: 1})
        self._clock = clock
        self._weights = self._default
        self._seen: tuple[int, ...] | None = None
        self._next = clock()
        # Who finds it taken goes on with the weights there are: nobody waits for a disk.
        self._looking = threading.Lock()
        self.current()

    def current(self) -> Weights:
        """The weights now."""
        if self._clock() >= self._next and self._looking.acquire(blocking=False):
            try:
                self._look()
                self._next = self._clock() + LOOK_SECONDS
            finally:
                self._looking.release()
        return self._weights

    def _look(self) -> None:
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            self._seen, self._weights = None, self._default
            return
        except (OSError, ValueError) as error:
            self._complain(error, ())
            return
        seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        if seen == self._seen:
            return
        try:
            self._weights = self._read()
            self._seen = seen
        except (OSError, ValueError, RecursionError, DataError, SettingsError) as error:
            self._complain(error, seen)

    def _read(self) -> Weights:
        document = json.loads(read_bytes(self.path))
        if not isinstance(document, dict):
            raise DataError(f"expected an object of models, not {type(document).__name__}")
        if self._model not in document:
            return self._default
        check(document[self._model], self._model)
        return Weights(document[self._model])

    def _complain(self, error: Exception, seen: tuple[int, ...]) -> None:
        if seen != self._seen:
            _log.warning(
                "The weights in %s cannot be read (%s); %s goes on with %s. Write the file anew, in one step.",
                self.path, error, self._model, self._weights.values,
            )  # fmt: skip
        self._seen = seen
