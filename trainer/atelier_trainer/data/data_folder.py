"""The folder of a data set, held while it is filled: one command fetches, another one waits and finds it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from atelier_trainer.file_lock import locked, try_lock
from atelier_trainer.printable import say

_FETCHING = ".fetching-"
_HALF = ".writing-"


@contextmanager
def filling(folder: Path) -> Iterator[None]:
    """Hold the folder for the block, and remove what killed commands left in it. Raises `OSError`.

    Whoever finds `.fetching-*` or `.writing-*` while holding the lock knows that nobody is at work on it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / ".lock"
    free = try_lock(lock)
    if free is None:
        say(f"data: another command fills {folder}: waiting for it")
    else:
        free.close()
    with locked(lock):
        for left in (*folder.glob(f"{_FETCHING}*"), *folder.glob(f"{_HALF}*")):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
        yield


@contextmanager
def fetching(folder: Path) -> Iterator[Path]:
    """A work folder inside of `folder`, which the caller holds; gone after the block."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=_FETCHING) as work:
        yield Path(work)


def half(target: Path) -> Path:
    """Where a file is written before it takes its name; its folder is held by the caller."""
    return target.with_name(f"{_HALF}{target.name}")
