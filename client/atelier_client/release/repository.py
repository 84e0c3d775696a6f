"""One model of the repository: what models.config says of it, and its versions on disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from atelier_client.errors import ClientError, InputError
from atelier_client.protos import serving_pb2 as pb
from atelier_client.release import config_text
from atelier_client.release.durable_files import locked, open_lock, read_text, replace
from atelier_client.release.served_versions import ServedVersions

_LARGEST = 2**63 - 1
# A hand edit between reading and renaming is seen, and the change is made anew on what was written.
_ATTEMPTS = 10
_READS = 5
_PAUSE = 0.04


class Interfered(ClientError):
    """Somebody else has changed what is served of this model since this command looked last."""


class UnderWay(ClientError):
    """Another command is releasing a version of this model."""


class Repository:
    """A model's part of the model repository `models`. Every change is made under the lock of models.config.

    Raises `InputError` for a name that is no folder's.
    """

    def __init__(self, models: Path, model: str) -> None:
        if model in (".", "..") or "/" in model:
            raise InputError(f"{model} is no name of a model: expected that of a folder of {models}.")
        self.models = models
        self.model = model
        self.folder = models / model
        self.config_path = models / "models.config"

    def versions(self) -> list[int]:
        """The published versions, ascending. Raises `InputError` when there is no such model."""
        try:
            names = [entry.name for entry in os.scandir(self.folder) if entry.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                f"{self.folder} does not exist: no version of {self.model} was published here. Train one first "
                "(atelier-trainer train), or name the model repository (--models DIR)."
            ) from None
        numbers = (int(name) for name in names if name.isascii() and name.isdecimal() and len(name) < 20)
        return sorted(number for number in numbers if number <= _LARGEST)

    def version_folder(self, version: int) -> Path:
        """Where a version is."""
        return self.folder / str(version)

    def config(self) -> pb.ModelServerConfig:
        """All that models.config says; empty without the file. Raises `DataError`."""
        return config_text.read(self._text(), self.config_path)

    def served(self) -> ServedVersions:
        """What is to be served of the model."""
        return ServedVersions.of(config_text.entry_of(self.config(), self.model))

    def _text(self) -> str:
        """The text of models.config, which may not be there. Raises `DataError`.

        Editors write in place: what lists no model, or is no configuration, may be the half of one.
        """
        for again in reversed(range(_READS)):
            text = read_text(self.config_path)
            if text is None or not again or config_text.lists_models(text):
                return text or ""
            time.sleep(_PAUSE)
        raise AssertionError("the last reading is returned")

    def _edited(self, before: str) -> Callable[[], bool]:
        return lambda: self._text() != before

    def change(
        self, expected: ServedVersions, wanted: ServedVersions, then: Callable[[], None] | None = None
    ) -> pb.ModelServerConfig:
        """Serve `wanted` where `expected` was served; return the whole new configuration.

        Raises `Interfered`, and changes nothing, when something else is there than expected. `then` is as in `update`.
        """

        def decide(found: ServedVersions) -> ServedVersions:
            if found != expected:
                raise Interfered(
                    f"{self.config_path} was changed by somebody else: of {self.model} it lists {found}, and this "
                    f"command had left {expected}."
                )
            return wanted

        return self.update(decide, then)

    def update(
        self,
        decide: Callable[[ServedVersions], ServedVersions],
        then: Callable[[], None] | None = None,
    ) -> pb.ModelServerConfig:
        """Serve what `decide` makes of what is served now; return the whole new configuration.

        `then` is called with the lock still held, so that the record has the order in which things happened.
        """
        self.models.mkdir(parents=True, exist_ok=True)
        with locked(self.models / ".models.config.lock"):
            for _ in range(_ATTEMPTS):
                before = self._text()
                entry = config_text.entry_of(config_text.read(before, self.config_path), self.model)
                found = ServedVersions.of(entry)
                wanted = decide(found)
                text = before
                if wanted != found:
                    folder = str(self.folder.absolute())
                    text = config_text.changed(before, self.config_path, self.model, folder, wanted)
                # An editor takes no lock. What it has written since is the new ground for the change.
                if text != before and not replace(self.config_path, text, unless=self._edited(before)):
                    continue
                if then:
                    then()
                return config_text.read(text, self.config_path)
        raise Interfered(
            f"{self.config_path} changes all the time: another program writes it. Stop that one first."
        )

    @contextlib.contextmanager
    def releasing(self, who: str) -> Iterator[None]:
        """Be the only release of the model for the block. Raises `UnderWay` when another one is.

        The system gives the lock back when its holder dies, however that happens.
        """
        with open_lock(self.folder / ".release.lock") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = handle.read().strip() or "another command"
                raise UnderWay(
                    f"A release of {self.model} is under way ({holder}). Wait for it to end, or interrupt it; "
                    "`atelier-client rollback` ends it too."
                ) from None
            handle.seek(0)
            handle.truncate()
            handle.write(f"{who}, process {os.getpid()}\n")
            handle.flush()
            yield
