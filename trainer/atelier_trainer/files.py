"""Files that survive a kill and a power cut: their whole content is on disk before they get their name."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def write_durably(path: Path, text: str) -> None:
    """Replace a file in one step. The new content is on disk before it gets the file's name."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.new")
    try:
        with open(temporary, "x", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def remove_halves(path: Path) -> None:
    """Remove the unfinished files that killed writers left beside `path`. The caller holds the writers' lock."""
    for half in path.parent.glob(f"{path.name}.*.new"):
        half.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Put a file's content, or a folder's entries, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
