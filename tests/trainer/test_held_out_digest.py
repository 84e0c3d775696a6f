"""The card tells the digest of the test file that the trainer writes, so that a file changed since is found out."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from atelier_trainer.data.dataset import DataSet, Examples
from atelier_trainer.data.held_out_file import read_test_file, read_test_file_of, write_test_file
from atelier_trainer.errors import DataCorrupt, DataInvalid


def test_a_csv_has_the_digest_of_its_bytes_and_the_same_examples_the_same(tmp_path: Path) -> None:
    examples = Examples(np.array([b"one", b"two"], object), np.array([0, 1]), "0" * 64)
    data = DataSet("reviews", "text", ("a", "b"), (), examples, examples, {})
    file = write_test_file(data, tmp_path)
    assert file["sha256"] == hashlib.sha256((tmp_path / file["path"]).read_bytes()).hexdigest()
    assert write_test_file(data, tmp_path) == file


def test_a_file_that_was_changed_since_is_refused(tmp_path: Path) -> None:
    examples = Examples(np.array([b"one", b"two"], object), np.array([0, 1]), "0" * 64)
    file = write_test_file(DataSet("reviews", "text", ("a", "b"), (), examples, examples, {}), tmp_path)
    assert read_test_file(file, "text", ("a", "b"), (), tmp_path).labels.tolist() == [0, 1]
    path = tmp_path / file["path"]
    path.write_text(path.read_text().replace("b,two", "a,two"))
    with pytest.raises(DataCorrupt, match=r"\.csv has another SHA-256 than the model card says"):
        read_test_file(file, "text", ("a", "b"), (), tmp_path)


def test_images_have_the_digest_of_their_file_and_the_same_images_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also an hour later: a zip holds the time of writing."""
    images = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    examples = Examples(images, np.array([0, 1, 0]), "0" * 64)
    data = DataSet("photos", "image", ("a", "b"), (), examples, examples, {})
    file = write_test_file(data, tmp_path)
    later = time.localtime(time.time() + 3600)
    monkeypatch.setattr(time, "localtime", lambda *_: later)
    assert write_test_file(data, tmp_path) == file
    path = tmp_path / file["path"]
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    back = read_test_file(file, "image", ("a", "b"), (), tmp_path)
    assert (back.inputs == images).all()
    # Labels changed in place: nothing else would tell.
    np.savez(path, images=images, labels=np.array([1, 1, 0]))
    with pytest.raises(DataCorrupt, match=r"\.npz has another SHA-256 than the model card says"):
        read_test_file(file, "image", ("a", "b"), (), tmp_path)
    # A card of before has no digest.
    del file["sha256"]
    assert read_test_file(file, "image", ("a", "b"), (), tmp_path).labels.tolist() == [1, 1, 0]


@pytest.mark.parametrize("place", ["../else/test.csv", "a/../../test.csv", "/etc/passwd"])
def test_a_path_out_of_the_data_folder_is_refused(tmp_path: Path, place: str) -> None:
    card = {
        "input": {"kind": "text"},
        "class_names": ["a", "b"],
        "data": {"test": {"file": {"format": "csv", "path": place}}},
    }
    (tmp_path / "1" / "assets.extra").mkdir(parents=True)
    (tmp_path / "1" / "assets.extra" / "model_card.json").write_text(json.dumps(card))
    with pytest.raises(DataInvalid, match=r"data\.test\.file\.path is outside the data folder"):
        read_test_file_of(tmp_path / "1", tmp_path / "data")


def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "test.csv")
    with pytest.raises(DataInvalid, match=r"test\.csv is no file"):
        read_test_file({"format": "csv", "path": "test.csv"}, "text", ("a", "b"), (), tmp_path)


@pytest.mark.parametrize("content", [b"", b"label,text\n", b"PK\x03\x04 cut"])
def test_damaged_images_are_told_as_such(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "test.npz").write_bytes(content)
    with pytest.raises(DataInvalid, match=r"test\.npz is no readable \.npz of images and labels"):
        read_test_file({"format": "npz", "path": "test.npz"}, "image", ("a", "b"), (), tmp_path)
