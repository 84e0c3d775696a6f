"""The model that is imported: a file of Keras's or a SavedModel folder, told by its content, and its digest."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from atelier_trainer.errors import ImportRefused

Format = Literal["keras", "h5", "saved_model"]
EXPECTED = "expected a SavedModel folder (with saved_model.pb), a .keras file or an .h5 file"
_HDF5 = b"\x89HDF\r\n\x1a\n"
# What a version has of its own, and does not take from a model that is one already.
_OWN = ("model_card.json", "golden.npz", "reference.json")


@dataclass(frozen=True)
class Source:
    """A model somewhere on disk. `sha256` is over the file, or over names and bytes of a folder's files."""

    path: Path
    format: Format
    sha256: str


def find(path: Path) -> Source:
    """What is at the path. Raises `ImportRefused` for what is no model, and `OSError`."""
    if not path.exists():
        raise ImportRefused(f"{path} does not exist; {EXPECTED}.")
    if path.is_dir():
        return Source(path, "saved_model", _folder_digest(path))
    if not stat.S_ISREG(path.stat().st_mode):
        raise ImportRefused(f"{path} is no regular file; {EXPECTED}.")
    with open(path, "rb") as handle:
        start = handle.read(len(_HDF5))
        handle.seek(0)
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    if start == _HDF5:
        return Source(path, "h5", digest)
    if zipfile.is_zipfile(path):
        return Source(path, "keras", digest)
    if start[:2] == b"PK":
        raise ImportRefused(
            f"{path} begins as a .keras file and ends early: it is cut short. Copy it again from where it was saved."
        )
    if path.name in ("saved_model.pb", "keras_metadata.pb"):
        raise ImportRefused(f"{path} is one file of a SavedModel; name its folder, {path.parent}.")
    raise ImportRefused(f"{path} is neither a zip archive nor HDF5, as Keras writes them; {EXPECTED}.")


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a SavedModel that a version takes over, by their names within it, sorted.

    Raises `ImportRefused` for a link or for what is no file: a version has the bytes themselves.
    """
    for part in ("saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra"):
        for path in _walk(folder / part):
            mode = path.lstat().st_mode
            if not stat.S_ISREG(mode):
                kind = "a link" if stat.S_ISLNK(mode) else "no regular file"
                raise ImportRefused(
                    f"{path} is {kind}; import a copy of the folder with the files themselves."
                )
            if part != "assets.extra" or path.name not in _OWN:
                yield str(path.relative_to(folder)), path


def _walk(path: Path) -> Iterator[Path]:
    if path.is_dir() and not path.is_symlink():
        for parent, folders, names in os.walk(path):
            folders.sort()
            yield from (Path(parent, name) for name in sorted(names))
    elif os.path.lexists(path):
        yield path


def _folder_digest(folder: Path) -> str:
    if not (folder / "saved_model.pb").is_file():
        raise ImportRefused(f"{folder} is no SavedModel: it has no saved_model.pb.{_instead(folder)}")
    digest = hashlib.sha256()
    for name, path in files_of(folder):
        with open(path, "rb") as handle:
            digest.update(name.encode() + b"\0")
            hashlib.file_digest(handle, lambda: digest)
    return digest.hexdigest()


def _instead(folder: Path) -> str:
    """What the user may have meant."""
    if (folder / "saved_model.pbtxt").is_file():
        return " It has a saved_model.pbtxt; save it in the binary form (as_text=False)."
    inside = sorted(path.parent for path in folder.glob("*/saved_model.pb"))
    if inside:
        return f" Did you mean {inside[-1]}?"
    if any(folder.glob("*.ckpt*")) or (folder / "checkpoint").is_file():
        return " A checkpoint holds weights alone: save the model that it belongs to."
    if (folder / "config.json").is_file():
        return " It looks like an unpacked .keras file: import the file itself."
    return f" {EXPECTED[0].upper()}{EXPECTED[1:]}."
