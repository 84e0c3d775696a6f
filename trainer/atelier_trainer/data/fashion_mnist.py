"""Fashion-MNIST: its files, their digests, and how they get into the data folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from atelier_trainer.data.data_folder import fetching, filling
from atelier_trainer.data.dataset import DataSet, Examples, file_digest, findings, sha256_of
from atelier_trainer.data.downloads import Source, SourceFailed, default_sources
from atelier_trainer.data.idx import read_idx
from atelier_trainer.errors import DataUnavailable
from atelier_trainer.printable import say

NAME = "fashion-mnist"
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
# SHA-256 of the uncompressed files, as published by Zalando Research (github.com/zalandoresearch/fashion-mnist).
SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def fetch(data_folder: Path, sources: Iterable[Source] | None = None) -> Path:
    """Put the four files, each checked, into `data_folder/fashion-mnist`; return that folder.

    A file that is there is checked too, and fetched again when it is damaged. Raises `DataUnavailable` with every
    source tried and its reason. A file whose bytes are wrong never gets its final name.
    """
    folder = data_folder / NAME
    if all(_is_right(folder / name, digest) for name, digest in SHA256.items()):
        return folder
    with filling(folder):
        # Another command may have fetched them meanwhile.
        missing = [name for name in SHA256 if not _cached(folder / name, SHA256[name])]
        if missing:
            _fetch(missing, folder, default_sources() if sources is None else sources)
    return folder


def _fetch(missing: list[str], folder: Path, sources: Iterable[Source]) -> None:
    reasons = []
    for source in sources:
        say(f"data: {NAME}: {len(missing)} of {len(SHA256)} files from {source.title}")
        try:
            with fetching(folder) as work:
                source.fetch(missing, work, lambda name, path: _admit(path, folder / name, SHA256[name]))
        except SourceFailed as failure:
            reasons.append(f"  {source.title}: {failure}")
            say(f"data: {failure}")
        missing = [name for name in missing if not (folder / name).exists()]
        if not missing:
            return
    raise DataUnavailable(
        f"Fashion-MNIST could not be fetched ({', '.join(missing)}). Tried, in this order:\n"
        + "\n".join(reasons)
        + "\nCheck the network, or put the four IDX files (.gz or not) in a folder and set ATELIER_FASHION_MNIST to it."
    )


def load(data_folder: Path) -> DataSet:
    """The whole data set; fetches what is missing."""
    folder = fetch(data_folder)
    train = read_split(folder, "train")
    test = read_split(folder, "test")
    return DataSet(
        name=NAME,
        kind="image",
        class_names=CLASS_NAMES,
        shape=(28, 28),
        train=train,
        test=test,
        test_file={"format": "idx", "path": NAME, "labels": "numbers"},
        warnings=findings(train, test, CLASS_NAMES),
    )


def read_split(folder: Path, split: str) -> Examples:
    """Read the `train` or `test` split: four files under MNIST's names, uncompressed."""
    prefix = "t10k" if split == "test" else "train"
    images = folder / f"{prefix}-images-idx3-ubyte"
    labels = folder / f"{prefix}-labels-idx1-ubyte"
    return Examples(
        read_idx(images),
        read_idx(labels).astype(np.int64),
        sha256_of(images.read_bytes(), labels.read_bytes()),
    )


def _is_right(path: Path, sha256: str) -> bool:
    # A pipe would be waited for.
    return path.is_file() and file_digest(path) == sha256


def _cached(path: Path, sha256: str) -> bool:
    """True when the file is there and right; a wrong one is removed."""
    if _is_right(path, sha256):
        return True
    if os.path.lexists(path):
        say(f"data: {path} is damaged (its SHA-256 is wrong): fetching it again")
        path.unlink()
    return False


def _admit(candidate: Path, target: Path, sha256: str) -> None:
    """Give a fetched file its final name, after its digest was checked and its bytes are on disk."""
    got = file_digest(candidate)
    if got != sha256:
        raise SourceFailed(f"{target.name} is corrupt: expected SHA-256 {sha256}, got {got}")
    with open(candidate, "rb") as handle:
        os.fsync(handle.fileno())
    candidate.chmod(0o644)
    os.replace(candidate, target)
