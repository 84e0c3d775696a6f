"""Whether the files of a version are those that were published: the model card has the digest of each."""

from __future__ import annotations

import json
from pathlib import Path

from atelier_client._files import read_bytes
from atelier_client._model_card import card_path
from atelier_client.data.table import file_sha256
from atelier_client.errors import DataError


def changed_files(version: Path) -> list[str]:
    """What is wrong, a text a file. Empty where all is as it was, and where no card with digests can be read."""
    try:
        files = dict(json.loads(read_bytes(card_path(version)))["files"])
        digests = {str(name): str(file["sha256"]) for name, file in files.items()}
    except (OSError, DataError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return [wrong for name, digest in sorted(digests.items()) if (wrong := _wrong(version, name, digest))]


def _wrong(version: Path, name: str, digest: str) -> str | None:
    path = version / name
    if not path.is_file():
        return f"{name} is missing"
    return None if file_sha256(path) == digest else f"{name} has other bytes"
