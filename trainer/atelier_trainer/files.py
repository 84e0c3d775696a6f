"""Files that survive a kill and a power cut: their whole content is on disk before they get their name."""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING

from atelier_trainer.errors import AtelierTrainerError, WriteFailed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FULL = (errno.ENOSPC, errno.EDQUOT)

# What NumPy raises of a damaged .npz. A header is a Python literal: its reader of old ones uses Python's tokenizer.
UNREADABLE_NPZ = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_text(path: Path) -> str:
    """The text of a regular file. Raises `OSError`, also for a pipe, whose other end would be waited for."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as handle:
        if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
            raise OSError(f"{path}: expected a file, got something else under its name; remove it")
        return handle.read().decode()


def write_durably(path: Path, content: str | bytes) -> None:
    """Replace a file, or a link under its name, in one step. The content is on disk before it gets the name."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.new")
    try:
        with open(temporary, "xb") as handle:
            handle.write(content.encode() if isinstance(content, str) else content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def remove_halves(path: Path) -> None:
    """Remove the unfinished files that killed writers left beside `path`. The caller holds the writers' lock."""
    for half in path.parent.glob(f"{path.name}.{'[0-9a-f]' * 32}.new"):
        half.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Put a file's content, or a folder's entries, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_figure(path: Path, figure: Figure) -> None:
    """Replace a picture in one step, in the format of the path's suffix."""
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix.removeprefix(".") or "png", dpi=110)
    write_durably(path, picture.getvalue())


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn what a full disk or a folder that cannot be written raises into a `WriteFailed` that names the folder."""
    try:
        yield
    except AtelierTrainerError:
        raise
    except Exception as error:
        if said := explain_write_failure(folder, error):
            raise WriteFailed(said) from None
        raise


def disk_is_full(error: Exception) -> bool:
    """True for an error of a full disk or a used up quota, whichever library raised it."""
    text = str(error)
    return getattr(error, "errno", None) in _FULL or "No space left" in text or "quota exceeded" in text


def explain_write_failure(folder: Path, error: Exception) -> str | None:
    """A sentence for a failed write under `folder`: what failed, and what to do. None for any other error."""
    text = str(error)
    if disk_is_full(error):
        there = next((path for path in (folder, *folder.absolute().parents) if path.exists()), Path("/"))
        free = shutil.disk_usage(there).free
        return f"The disk under {folder} is full ({free / 1e6:.1f} MB free); make room there."
    if getattr(error, "errno", None) == errno.EROFS or "Read-only file system" in text:
        return f"{folder} is on a file system that is mounted read-only ({text}); name another folder."
    # Other errors may be about a file that was to be read: those of this folder name it.
    name = getattr(error, "filename", None)
    above = isinstance(name, str) and folder.is_relative_to(name)
    if str(folder) not in text and not above:
        return None
    if isinstance(error, PermissionError):
        return f"{folder} is not writable for uid {os.getuid()} ({text}); check its owner."
    return f"Writing under {folder} failed: {text}."
