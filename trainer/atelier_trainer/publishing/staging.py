"""Publishing: a version is written under a name no server reads, made durable, and renamed to its number."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

from atelier_trainer.errors import PublishError
from atelier_trainer.file_lock import locked, open_lock, try_lock
from atelier_trainer.files import explain_write_failure, read_text, remove_halves, sync, write_durably

_STAGING = ".staging-"
# Servers read a version as an int64.
LARGEST_VERSION = 2**63 - 1
_DIGITS = 40


class Staging:
    """A version being written: `folder` is filled by the caller, `publish` gives it the next number.

    As a context manager it removes what was not published. A lock beside the folder is held for as long as the
    writer lives. When a writer is killed, the system releases the lock, and the next writer removes the folder.
    """

    def __init__(self, model_folder: Path) -> None:
        self.model_folder = model_folder
        self._lock: IO[str] | None = None

    def __enter__(self) -> Staging:
        with _explained(self.model_folder):
            self.model_folder.mkdir(parents=True, exist_ok=True)
            with locked(self.model_folder / ".publish.lock"):
                remove_abandoned(self.model_folder)
                self.folder = self.model_folder / f"{_STAGING}{uuid.uuid4().hex}"
                self._lock = open_lock(Path(f"{self.folder}.lock"))
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                self.folder.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        Path(f"{self.folder}.lock").unlink(missing_ok=True)
        assert self._lock is not None
        self._lock.close()

    def publish(self) -> Path:
        """Make every byte durable and rename the folder to the next number; return the version's path."""
        with _explained(self.model_folder):
            _make_durable(self.folder)
            with locked(self.model_folder / ".publish.lock"):
                number = max([0, _last_number(self.model_folder), *versions(self.model_folder)]) + 1
                if number > LARGEST_VERSION:
                    raise PublishError(
                        f"The next version in {self.model_folder} would be {number}, which no server can load: the "
                        f"largest is {LARGEST_VERSION}. Remove the folder with the largest number and .last-version. "
                        "Nothing was published."
                    )
                # It is written before the rename, so that a number that a server may have seen is never given again.
                write_durably(self.model_folder / ".last-version", f"{number}\n")
                target = self.model_folder / str(number)
                os.rename(self.folder, target)
        try:
            sync(self.model_folder)
        except OSError as error:
            raise PublishError(
                f"{target} is published, but may be gone after a power cut: {self.model_folder} could not be synced "
                f"({error}). The same command lists it."
            ) from None
        return target


def versions(model_folder: Path) -> list[int]:
    """The published version numbers, ascending."""
    names = (entry.name for entry in model_folder.iterdir()) if model_folder.is_dir() else ()
    numbers = (int(name) for name in names if name.isascii() and name.isdecimal() and len(name) < _DIGITS)
    return sorted(number for number in numbers if number <= LARGEST_VERSION)


def remove_abandoned(model_folder: Path) -> None:
    """Remove what killed writers left; the caller holds the publish lock.

    Staging folders whose lock can be taken, and halves of `.last-version`, which only the lock's holder writes.
    """
    for lock in model_folder.glob(f"{_STAGING}*.lock"):
        if lock.is_symlink():
            continue
        handle = try_lock(lock)
        if handle:
            with handle:
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)
    remove_halves(model_folder / ".last-version")


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        said = explain_write_failure(folder, error) or f"Writing under {folder} failed: {error}."
        raise PublishError(f"{said} Nothing was published.") from None


def _last_number(model_folder: Path) -> int:
    try:
        return int(read_text(model_folder / ".last-version"))
    except (FileNotFoundError, ValueError):
        return 0


def _make_durable(folder: Path) -> None:
    """fsync each file, then each folder from the inside out; readable by every server, writable by the owner only."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(parent, name)
            path.chmod(0o644)
            sync(path)
        os.chmod(parent, 0o755)
        sync(Path(parent))
