"""The file-system source: which version numbers stand under a base path.

Rules: sources/storage_path/file_system_storage_path_source.cc at 2.20.0. Names that are not integers are ignored, which
is what makes a staging folder invisible; a numeric file counts as a version (and fails to load).
"""

from __future__ import annotations

import re
from pathlib import Path

_INTEGER = re.compile(r"\+?\d{1,19}")


def scan(base_path: Path) -> dict[int, Path] | None:
    """Version number to path, or None when the base path cannot be listed."""
    try:
        entries = sorted(base_path.iterdir())
    except OSError:
        return None
    return {int(entry.name): entry for entry in entries if _INTEGER.fullmatch(entry.name)}
