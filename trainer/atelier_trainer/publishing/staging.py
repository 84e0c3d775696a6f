"""Publishing: a version is written under a name no server reads, made durable, and renamed to its number."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

from atelier_trainer.errors import PublishError

_STAGING = ".staging-"


class Staging:
    """A version being written: `folder` is filled by the caller, `publish` gives it the next number.

    As a context manager it removes what was not published. A lock beside the folder is held for as long as the
    writer lives; when a writer is killed the lock falls free, and the next writer removes the remains.
    """

    def __init__(self, model_folder: Path) -> None:
        self.model_folder = model_folder
        self._lock: IO[str] | None = None

    def __enter__(self) -> Staging:
        with _explained(self.model_folder):
            self.model_folder.mkdir(parents=True, exist_ok=True)
            with _locked(self.model_folder / ".publish.lock"):
                remove_abandoned(self.model_folder)
                self.folder = self.model_folder / f"{_STAGING}{uuid.uuid4().hex}"
                self._lock = open(f"{self.folder}.lock", "w")
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
            with _locked(self.model_folder / ".publish.lock"):
                number = max([0, _last_number(self.model_folder), *versions(self.model_folder)]) + 1
                # Written before the rename: a number that may have been seen is never given again.
                write_durably(self.model_folder / ".last-version", f"{number}\n")
                target = self.model_folder / str(number)
                os.rename(self.folder, target)
                _sync(self.model_folder)
        return target


def versions(model_folder: Path) -> list[int]:
    """The published version numbers, ascending."""
    names = (entry.name for entry in model_folder.iterdir()) if model_folder.is_dir() else ()
    return sorted(int(name) for name in names if name.isdecimal())


def remove_abandoned(model_folder: Path) -> None:
    """Remove staging folders whose writer is gone: those whose lock can be taken."""
    for lock in model_folder.glob(f"{_STAGING}*.lock"):
        with open(lock, "w") as handle, contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)


def write_durably(path: Path, text: str) -> None:
    """Replace a file in one step, on disk before it has its name."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.new")
    try:
        with open(temporary, "w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PublishError(explain_write_failure(folder, error)) from None


def explain_write_failure(folder: Path, error: Exception) -> str:
    """A sentence for a failed write under `folder`: what failed, and what to do."""
    text = str(error)
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text:
        free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
        return (
            f"The disk under {folder} is full ({free / 1e6:.1f} MB free). Nothing was published; make room."
        )
    if isinstance(error, PermissionError):
        return f"{folder} is not writable for uid {os.getuid()} ({text}); nothing was published. Check its owner."
    return f"Writing under {folder} failed: {text}. Nothing was published."


def _last_number(model_folder: Path) -> int:
    try:
        return int((model_folder / ".last-version").read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _make_durable(folder: Path) -> None:
    """fsync each file, then each folder from the inside out; readable by every server, writable by the owner only."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(parent, name)
            path.chmod(0o644)
            _sync(path)
        os.chmod(parent, 0o755)
        _sync(Path(parent))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
