"""The files of a request log: their names, and which of them belong to a model (docs/contracts.md)."""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path

from atelier_client.errors import DataError

_NAME = re.compile(r"(?P<model>.+)-(?P<made>\d{1,18})-(?P<process>\d+)\.tfrecord")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]|^\.")


@dataclass(frozen=True)
class LogFile:
    """A file, and when it was begun (milliseconds since 1970) and the model (see `safe`) by its name.

    They are 0 and None where the name is none of a log's.
    """

    path: Path
    made: int
    model: str | None

    def may_have(self, model: str) -> bool:
        """Whether records of a model are to be expected, by the name."""
        return self.model is None or self.model == safe(model)


def safe(model: str) -> str:
    """A model's name as it stands in a file's name."""
    return _UNSAFE.sub("_", model)


def name_of(model: str, made: int, process: int) -> str:
    """The name of a file that a process begins at the time `made` (milliseconds since 1970)."""
    return f"{safe(model)}-{made:d}-{process:d}.tfrecord"


def is_being_written(path: Path) -> bool:
    """Whether a process holds the lock that writers have on their files."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def log_files(folder: Path) -> list[LogFile]:
    """The files of a log, oldest first. Raises `DataError`."""
    try:
        names = sorted(path for path in folder.iterdir() if path.suffix == ".tfrecord" and path.is_file())
    except OSError as error:
        raise DataError(
            f"{folder}: expected the folder of a request log (--request_log_dir of the server, or that of a Recorder): "
            f"{error.strerror}."
        ) from None
    files = []
    for path in names:
        match = _NAME.fullmatch(path.name)
        files.append(LogFile(path, int(match["made"]), match["model"]) if match else LogFile(path, 0, None))
    return sorted(files, key=lambda file: file.made)
