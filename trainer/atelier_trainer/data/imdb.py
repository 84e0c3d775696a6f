"""IMDB: 50,000 film reviews, half to train on (Maas et al. 2011, "Learning Word Vectors for Sentiment Analysis").

The publisher's archive becomes two CSV files in the data folder, `label,text`: 0 negative, 1 positive.
"""

from __future__ import annotations

import csv
import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from atelier_trainer.data import csv_file
from atelier_trainer.data.data_folder import fetching, filling
from atelier_trainer.data.dataset import DataSet, Examples, file_digest, findings
from atelier_trainer.data.downloads import SourceFailed, download
from atelier_trainer.data.labels import class_ids
from atelier_trainer.errors import DataCorrupt, DataUnavailable
from atelier_trainer.files import read_text, write_durably
from atelier_trainer.printable import say

NAME = "imdb"
CLASS_NAMES = ("negative", "positive")
URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
# The digest of the archive at URL. A local archive may have another one: the model card states the CSV files' digests.
MD5 = "7c2ac02c03563afcf9b574c7e56c153a"
REVIEWS_PER_CLASS = 12_500
TIMEOUT_SECONDS = 60.0
_FOLDERS = {
    f"{split}/{folder}": (split, label)
    for split in ("train", "test")
    for label, folder in enumerate(("neg", "pos"))
}


def fetch(data_folder: Path, origin: str | None = None) -> Path:
    """Put train.csv and test.csv into `data_folder/imdb`; return that folder.

    `origin` (default: the environment's ATELIER_IMDB, else the publisher) is a URL, or the path of the archive or
    of the folder it unpacks to. Raises `DataUnavailable` or `DataCorrupt`.
    """
    folder = data_folder / NAME
    if _complete(folder):
        return folder
    with filling(folder):
        # Another command may have made them meanwhile.
        if not _complete(folder):
            _fetch(folder, origin or os.environ.get("ATELIER_IMDB") or URL)
    return folder


def _fetch(folder: Path, origin: str) -> None:
    if (folder / "sha256.json").exists():
        say(f"data: {folder} is damaged (a SHA-256 is wrong): making it again")
    say(f"data: {NAME} from {origin}")
    with fetching(folder) as work:
        if "://" in origin:
            archive = work / "aclImdb_v1.tar.gz"
            try:
                download(origin, archive, TIMEOUT_SECONDS)
            except SourceFailed as failure:
                raise DataUnavailable(
                    f"IMDB could not be fetched from {origin}: {failure}. Check the network, or set "
                    "ATELIER_IMDB to the path of aclImdb_v1.tar.gz or of the folder it unpacks to."
                ) from None
            if origin == URL and file_digest(archive, algorithm="md5") != MD5:
                raise DataCorrupt(f"What {URL} gave is not the published archive: its MD5 is not {MD5}.")
        else:
            archive = Path(origin)
        _write_splits(archive, work)
        for split in ("train", "test"):
            os.replace(work / f"{split}.csv", folder / f"{split}.csv")
    digests = {split: file_digest(folder / f"{split}.csv") for split in ("train", "test")}
    write_durably(folder / "sha256.json", json.dumps(digests) + "\n")


def load(data_folder: Path) -> DataSet:
    """The whole data set; fetches what is missing."""
    folder = fetch(data_folder)
    train = _read(folder / "train.csv")
    test = _read(folder / "test.csv")
    return DataSet(
        name=NAME,
        kind="text",
        class_names=CLASS_NAMES,
        shape=(),
        train=train,
        test=test,
        test_file={
            "format": "csv",
            "path": f"{NAME}/test.csv",
            "labels": "numbers",
            "sha256": test.sha256,
        },
        warnings=findings(train, test, CLASS_NAMES),
    )


def _read(path: Path) -> Examples:
    text, cells = csv_file.read_text(path, "label", "text")
    return Examples(text, class_ids(cells, CLASS_NAMES, path, "label"), file_digest(path))


def _write_splits(archive: Path, folder: Path) -> None:
    """Write both splits of the archive, or of the folder it unpacks to, as CSV, sorted by class and file name."""
    found: dict[str, list[tuple[int, str, str]]] = {"train": [], "test": []}
    for name, content in _files(archive):
        parts = name.split("/")
        place = _FOLDERS.get("/".join(parts[-3:-1]))
        if place and parts[-1].endswith(".txt"):
            split, label = place
            found[split].append((label, parts[-1], content.decode("utf-8", errors="replace")))
    for split, rows in found.items():
        for label, title in enumerate(CLASS_NAMES):
            count = sum(row[0] == label for row in rows)
            if count != REVIEWS_PER_CLASS:
                raise DataCorrupt(
                    f"{archive}: expected {REVIEWS_PER_CLASS:,} {title} reviews in {split}, got {count:,}. "
                    "It must be aclImdb_v1.tar.gz or the folder it unpacks to."
                )
        with open(folder / f"{split}.csv", "w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(["label", "text"])
            writer.writerows((label, text) for label, _, text in sorted(rows))
            handle.flush()
            os.fsync(handle.fileno())


def _files(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in the archive or folder."""
    if archive.is_dir():
        for path in archive.glob("**/*.txt"):
            yield str(path.relative_to(archive.parent)), path.read_bytes()
        return
    try:
        with tarfile.open(archive) as members:
            for member in members:
                handle = members.extractfile(member) if member.isfile() else None
                if handle:
                    yield member.name, handle.read()
    except FileNotFoundError:
        raise DataUnavailable(f"{archive} does not exist. Set ATELIER_IMDB to aclImdb_v1.tar.gz.") from None
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataCorrupt(f"{archive} is truncated or no tar archive: {error}.") from None


def _complete(folder: Path) -> bool:
    try:
        digests = json.loads(read_text(folder / "sha256.json"))
        files = {split: folder / f"{split}.csv" for split in ("train", "test")}
        # A pipe in a file's place would be waited for.
        return all(path.is_file() and file_digest(path) == digests[split] for split, path in files.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False
