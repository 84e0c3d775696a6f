"""IMDB: the archive, whole or damaged, and what becomes of it."""

import csv
import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from atelier_trainer.data import imdb
from atelier_trainer.data.dataset import Examples
from atelier_trainer.errors import DataCorrupt, DataUnavailable


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout with two reviews a class instead of 12,500."""
    monkeypatch.setattr(imdb, "REVIEWS_PER_CLASS", 2)


def members(drop: str = "") -> dict[str, bytes]:
    reviews = {}
    for split in ("train", "test"):
        for folder in ("neg", "pos"):
            for number in range(2):
                reviews[f"aclImdb/{split}/{folder}/{number}_5.txt"] = (
                    f'{split} {folder}, "{number}"\x85<br />é'.encode()
                )
    reviews["aclImdb/train/unsup/0_0.txt"] = b"of no class"
    reviews["aclImdb/README"] = b"about"
    return {name: text for name, text in reviews.items() if not drop or drop not in name}


def archive(path: Path, reviews: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in reviews.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return path


def test_an_archive_and_its_folder_become_the_same_files(tmp_path: Path, small: None) -> None:
    source = archive(tmp_path / "a.tar.gz", members())
    with tarfile.open(source) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    first = imdb.fetch(tmp_path / "one", str(source))
    second = imdb.fetch(tmp_path / "two", str(tmp_path / "unpacked" / "aclImdb"))
    assert first.joinpath("test.csv").read_bytes() == second.joinpath("test.csv").read_bytes()
    with open(first / "train.csv", encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["label"] for row in rows] == ["0", "0", "1", "1"]
    assert rows[0]["text"] == 'train neg, "0"\x85<br />é'
    data = imdb.load(tmp_path / "one")
    assert isinstance(data.train, Examples)
    assert data.train.inputs[3] == 'train pos, "1"\x85<br />é'.encode()
    assert data.class_names == ("negative", "positive")


def test_a_complete_cache_needs_no_source_and_a_damaged_one_is_made_again(
    tmp_path: Path, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    source = archive(tmp_path / "a.tar.gz", members())
    folder = imdb.fetch(tmp_path, str(source))
    assert imdb.fetch(tmp_path, "nowhere") == folder
    before = (folder / "test.csv").read_bytes()
    (folder / "test.csv").write_bytes(before[:-3])
    with pytest.raises(DataUnavailable, match="nowhere does not exist"):
        imdb.fetch(tmp_path, "nowhere")
    assert "damaged" in capsys.readouterr().err
    imdb.fetch(tmp_path, str(source))
    assert (folder / "test.csv").read_bytes() == before


@pytest.mark.parametrize("fault", ["truncated", "no archive", "a class missing", "empty folder"])
def test_a_damaged_source_is_refused_and_nothing_is_cached(tmp_path: Path, small: None, fault: str) -> None:
    source = archive(tmp_path / "a.tar.gz", members("test/pos" if fault == "a class missing" else ""))
    if fault == "truncated":
        source.write_bytes(source.read_bytes()[:-40])
    elif fault == "no archive":
        source.write_bytes(b"<html>not found</html>")
    elif fault == "empty folder":
        source = tmp_path / "empty"
        source.mkdir()
    with pytest.raises(DataCorrupt, match=str(source)):
        imdb.fetch(tmp_path / "data", str(source))
    assert [path.name for path in (tmp_path / "data" / "imdb").iterdir()] == [".lock"]


def test_an_unreachable_publisher_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable, match="set ATELIER_IMDB"):
        imdb.fetch(tmp_path, "http://127.0.0.1:9/aclImdb_v1.tar.gz")


@pytest.mark.skipif("ATELIER_IMDB" not in os.environ, reason="this machine has no copy of the IMDB archive")
def test_the_real_archive_has_twice_25_000_reviews(tmp_path: Path) -> None:
    data = imdb.load(tmp_path)
    assert isinstance(data.train, Examples)
    assert len(data.train) == len(data.test) == 25_000
    assert data.train.labels.sum() == data.test.labels.sum() == 12_500
    assert any("test examples are among the training examples" in warning for warning in data.warnings)
