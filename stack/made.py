"""Which files under the checkout's folders the components wrote, by the names that docs/contracts.md gives them."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from stack.served import models_of

FOLDERS = ("models", "data", "reports", "runs")
# What a component writes beside a file before it takes the file's place.
_UNFINISHED = r"\.?[^/]*\.?[0-9a-f]{32}(\.[a-z]+)?"
_FILES = {
    "models": r"models\.config|\.models\.config\.lock|rollouts\.jsonl|[^/]+/\.(publish\.lock|last-version)"
    r"|[^/]+/\.staging-[^/]+\.lock",
    "data": r"fashion-mnist/(train|t10k)-(images-idx3|labels-idx1)-ubyte|imdb/((train|test)\.csv|sha256\.json)"
    r"|[^/]+/test-[0-9a-f]+-\d+\.(npz|csv)(\.gz)?",
    "reports": r"(evaluation|bench|tuning|tuned)\.(html|json|csv|xml)|batching\.config|compare-[^/]+\.(png|json)",
    "runs": r"[^/]+/\.lock",
}
_VERSION_ENTRIES = (
    "saved_model.pb",
    "fingerprint.pb",
    "keras_metadata.pb",
    "variables",
    "assets",
    "assets.extra",
)


@dataclass
class Sorted:
    """The paths to remove, and those that somebody else wrote."""

    made: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)


def sort(root: Path) -> Sorted:
    """Sort what lies in the four folders. A folder stands for all that is in it; links are nobody's but the user's."""
    found = Sorted()
    for name in FOLDERS:
        folder = root / name
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            found.kept.append(folder)
        elif folder.is_dir():
            found.kept += _sort(folder, folder, found.made)
    config = root / "models" / "models.config"
    if config in found.made and _names_one_of(config, [path for path in found.kept if path.is_dir()]):
        found.made.remove(config)
        found.kept.append(config)
    return found


def remove(paths: list[Path]) -> None:
    """Remove files and folders, never what a link points to. Raises `OSError`."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def remove_empty(root: Path) -> None:
    """Remove the folders that have nothing left in them, the four themselves included."""
    for name in FOLDERS:
        for parent, _, _ in os.walk(root / name, topdown=False):
            if not os.path.islink(parent) and not os.listdir(parent):
                os.rmdir(parent)


def _sort(folder: Path, top: Path, made: list[Path]) -> list[Path]:
    """Add what is made under `folder` to `made`; return the rest, a folder for all of it where nothing is made."""
    kept: list[Path] = []
    before = len(made)
    for path in sorted(folder.iterdir()):
        if _is_made(path, top):
            made.append(path)
        elif path.is_dir() and not path.is_symlink():
            kept += _sort(path, top, made)
        else:
            kept.append(path)
    return [folder] if kept and len(made) == before and folder != top else kept


def _is_made(path: Path, top: Path) -> bool:
    if path.is_symlink():
        return False
    name = str(path.relative_to(top))
    parts = name.split("/")
    if path.is_file():
        if top.name == "models" and len(parts) == 3 and parts[2] in _VERSION_ENTRIES:
            return _has_card(path.parent)
        return bool(re.fullmatch(_FILES[top.name], name) or re.fullmatch(_UNFINISHED, path.name))
    if top.name == "models":
        entry = len(parts) == 3 and parts[2] in _VERSION_ENTRIES and _has_card(path.parent)
        return entry or (len(parts) == 2 and parts[1].startswith(".staging-"))
    if top.name == "runs":
        return len(parts) == 2 and ((path / "run.json").is_file() or (path / ".lock").is_file())
    return top.name == "data" and len(parts) == 2 and parts[1].startswith(".fetching-")


def _has_card(version: Path) -> bool:
    """True for a version that the trainer published."""
    return version.name.isdecimal() and (version / "assets.extra" / "model_card.json").is_file()


def _names_one_of(config: Path, folders: list[Path]) -> bool:
    served = models_of(config.read_text(encoding="utf-8", errors="replace"))
    return any(
        folder.relative_to(config.parent).parts[0] in served
        for folder in folders
        if config.parent in folder.parents
    )
