"""The manifest of a version: the digest of each file that was published, in its model card (docs/contracts.md)."""

from __future__ import annotations

import hashlib
import json
import re
import stat
from pathlib import Path, PurePosixPath
from typing import Any

from atelier_serving.status import Code, ServingError

MODEL_CARD = Path("assets.extra", "model_card.json")
# A card of ours has some kilobytes. A larger file is not read into memory.
_MOST_BYTES = 16 * 1024 * 1024
_GRAPHS = ("saved_model.pb", "saved_model.pbtxt")
_SHA256 = re.compile("[0-9a-f]{64}")


def verify(version: Path) -> None:
    """Compare every file of the manifest with its digest.

    Raises `ServingError`: DATA_LOSS that names the first file which is missing or has other bytes, and
    FAILED_PRECONDITION when the version has no manifest that can be read.
    """
    for name, expected in sorted(_digests(version).items()):
        path = version / name
        if not _is_file(path):
            raise _lost(version, f"{name} is missing")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            raise _lost(
                version, f"{name} has other bytes than were published (SHA-256 {found}, not {expected})"
            )


def _digests(version: Path) -> dict[str, str]:
    """The SHA-256 of each published file, by its path in the version's folder."""
    card = version / MODEL_CARD
    if not _is_file(card):
        raise _unreadable(version, "is missing")
    if card.stat().st_size > _MOST_BYTES:
        raise _unreadable(version, f"has more than {_MOST_BYTES:,} bytes")
    try:
        files: Any = json.loads(card.read_bytes())["files"]
        digests = {str(name): str(file["sha256"]) for name, file in dict(files).items()}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _unreadable(version, "has no `files` with their `sha256`") from None
    for name, digest in digests.items():
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or "\0" in name or not _SHA256.fullmatch(digest):
            raise _unreadable(version, f"names no file of the version and its SHA-256: {name!r}, {digest!r}")
    if not any(name in digests for name in _GRAPHS):
        raise _unreadable(version, f"does not name {_GRAPHS[0]}")
    return digests


def _is_file(path: Path) -> bool:
    """True for a file itself: a link could lead to other bytes in the next moment, a pipe would be waited for."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _lost(version: Path, what: str) -> ServingError:
    return ServingError(
        Code.DATA_LOSS,
        f"{version}: {what}. Publish the version again, or copy it again from where it came.",
    )


def _unreadable(version: Path, what: str) -> ServingError:
    return ServingError(
        Code.FAILED_PRECONDITION,
        f"{version / MODEL_CARD} {what}, and --verify_manifest serves only versions whose files can be compared with "
        "it. atelier-trainer writes it.",
    )
