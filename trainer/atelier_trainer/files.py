"""Files that survive a kill and a power cut: written whole, on disk before they have their name."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def write_durably(path: Path, text: str) -> None:
    """Replace a file in one step, on disk before it has its name."""
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
    """Remove what killed writers of a file left beside it; the caller holds the lock that its writers hold."""
    for half in path.parent.glob(f"{path.name}.*.new"):
        half.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Put a file's content, or a folder's entries, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
