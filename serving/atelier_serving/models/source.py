"""The file-system source: finds the versions under a base path.

Rules: sources/storage_path/file_system_storage_path_source.cc at 2.20.0. Names that are not integers are ignored, so
a staging folder is not found. A file with a numeric name counts as a version, and fails to load.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

# As absl::SimpleAtoi: there may be blanks around the digits and a sign before them.
_BEYOND = re.compile(r"\s*\+?\d{19,}\s*", re.ASCII)
_INTEGER = re.compile(r"\s*\+?\d{1,19}\s*", re.ASCII)


def scan(base_path: Path, warn: Callable[[str], None]) -> dict[int, Path] | None:
    """Version number to path. None when the base path cannot be listed. `warn` is called for a number found twice."""
    try:
        entries = sorted(base_path.iterdir())
    except OSError:
        return None
    found: dict[int, Path] = {}
    for entry in entries:
        if _BEYOND.fullmatch(entry.name) and int(entry.name) >= 2**63:
            warn(f"{entry} is not looked at: a version number has 63 bits at most.")
        if _INTEGER.fullmatch(entry.name) and int(entry.name) < 2**63:
            number = int(entry.name)
            if number in found:
                warn(
                    f"Duplicate version directories detected. Version {number} will be loaded from {entry.name}, "
                    f"{found[number].name} will be ignored."
                )
            found[number] = entry
    return found
