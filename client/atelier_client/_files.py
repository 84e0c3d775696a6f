"""Writes files in one step: a reader sees the whole file or none."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path


def write_text(text: str, path: Path) -> None:
    """Replace a file in one step, so that nobody reads half of it. Raises `OSError` that names the file."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        # An error while writing (a full disk) does not name the file.
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
