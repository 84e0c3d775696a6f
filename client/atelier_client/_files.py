"""Writes files in one step, so that a reader sees the whole file or none; reads files and nothing else."""

from __future__ import annotations

import contextlib
import glob
import os
import time
import uuid
from pathlib import Path

from atelier_client.errors import DataError, SettingsError

ABANDONED_SECONDS = 60.0


def read_bytes(path: Path) -> bytes:
    """The bytes of a file. Raises `OSError`, and `DataError` for a folder or for a pipe, which one would wait for."""
    require_file(path)
    return path.read_bytes()


def require_file(path: Path) -> None:
    """Raises `DataError` when something else than a file has the name."""
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is no file, but a folder, a pipe or a device: expected a file.")


def check_folder(path: Path) -> None:
    """Raises `SettingsError` when something else than a folder has the name, or that of a folder above."""
    nearest = next(part for part in (path, *path.parents) if os.path.lexists(part) or part == part.parent)
    if os.path.lexists(nearest) and not nearest.is_dir():
        what = "a file" if nearest.is_file() else "a broken link, a pipe or a device"
        raise SettingsError(f"{nearest} is {what}; expected a folder, or a name that is free for one.")


def check_target(option: str, path: Path) -> None:
    """Raises `SettingsError` where no file of this name can be written; `option` is what the user calls it."""
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"is in {path.parent}, which is no folder"
        raise SettingsError(f"{option} {path} {what}: expected the name of a file.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise SettingsError(f"{option} {path} is in {path.parent}, where this user cannot write.")


def write_text(text: str, path: Path) -> None:
    """As `write_bytes`, in UTF-8."""
    write_bytes(text.encode("utf-8"), path)


def write_bytes(data: bytes, path: Path) -> None:
    """Replace a file in one step, so that nobody reads half of it.

    Raises `OSError` that names the file, and `SettingsError` where its folder cannot be.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        check_folder(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_halves(path)
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        # An error while writing (a full disk) does not name the file.
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _remove_halves(path: Path) -> None:
    """Remove what killed writers of the file left. Writing takes no minute: an older half is nobody's work."""
    for half in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 32}"):
        with contextlib.suppress(OSError):
            if time.time() - half.lstat().st_mtime > ABANDONED_SECONDS:
                half.unlink()
