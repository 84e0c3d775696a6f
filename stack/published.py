"""A published version, from the checkout's folder or the containers' volume: its files and its model card."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.errors import StackError

CARD = "assets.extra/model_card.json"


@dataclass(frozen=True)
class Published:
    """A version's folder, whose files are those that its card names, and the card with its SHA-256 (hexadecimal)."""

    folder: Path
    card: dict[str, Any]
    digest: str


def read(folder: Path, name: str) -> Published:
    """Read the card and compare every file with it. Raises `StackError` for what is not as it was published.

    `name` is what messages call the version: its folder may be a copy.
    """
    path = folder / CARD
    try:
        text = path.read_bytes()
        card = json.loads(text)
        wanted = {name: entry["sha256"] for name, entry in card["files"].items()}
    except FileNotFoundError:
        raise StackError(
            f"{name} has no model card ({CARD}), so nothing says what it is. Publish it with atelier-trainer."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StackError(
            f"{name}: its {CARD} is no model card of atelier-trainer. Publish it again."
        ) from None
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if not path.is_dir()}
    found.pop(CARD)
    wrong = sorted(
        name
        for name in found.keys() | wanted.keys()
        if name not in found or found[name].is_symlink() or _sha256(found[name]) != wanted.get(name)
    )
    if wrong:
        raise StackError(
            f"{name} is not what was published: {', '.join(wrong[:5])}. A version is never changed; publish it again."
        )
    return Published(folder, card, hashlib.sha256(text).hexdigest())


def copy(folder: Path, target: Path) -> None:
    """Copy the files of a version, with the rights of a published one: files 0644, folders 0755."""
    for path in (folder, *sorted(folder.rglob("*"))):
        place = target / path.relative_to(folder)
        if path.is_dir():
            place.mkdir(parents=True)
            place.chmod(0o755)
        else:
            shutil.copyfile(path, place)
            place.chmod(0o644)


def _sha256(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
