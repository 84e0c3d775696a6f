"""The card tells the digest of the test file that the trainer writes, so that a file changed since is found out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from atelier_trainer.data.dataset import DataSet, Examples
from atelier_trainer.data.held_out_file import write_test_file


def test_a_csv_has_the_digest_of_its_bytes_and_the_same_examples_the_same(tmp_path: Path) -> None:
    examples = Examples(np.array([b"one", b"two"], object), np.array([0, 1]), "0" * 64)
    data = DataSet("reviews", "text", ("a", "b"), (), examples, examples, {})
    file = write_test_file(data, tmp_path)
    assert file["sha256"] == hashlib.sha256((tmp_path / file["path"]).read_bytes()).hexdigest()
    assert write_test_file(data, tmp_path) == file
