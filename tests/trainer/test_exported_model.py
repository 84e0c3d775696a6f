"""What is published is asked once more: a model that answers nonsense, or belongs to other examples, is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from atelier_trainer.errors import AtelierTrainerError
from atelier_trainer.publishing.exported_model import ExportedModel

from tests.support.trainer_command import trainer


def test_a_model_that_does_not_take_the_examples_says_so(trained: Path) -> None:
    exported = ExportedModel(trained / "models" / "tiny" / "1")
    assert exported.answers(np.zeros((3, 2), np.float32)).shape == (3, 2)
    texts = np.array([b"one", b"two"], object)
    columns = np.zeros(2, [("width", np.float32), ("height", np.float32)])
    for inputs in (np.zeros((3, 5), np.float32), texts, columns):
        with pytest.raises(AtelierTrainerError, match="The model does not take the examples, which have"):
            exported.answers(inputs)


def test_the_test_file_of_another_model_is_no_stack_trace(tmp_path: Path, trained: Path) -> None:
    """The card names another model's file, with its right digest."""
    shutil.copytree(trained / "models", tmp_path / "models")
    shutil.copytree(trained / "data", tmp_path / "data")
    (tmp_path / "data" / "other").mkdir()
    other = tmp_path / "data" / "other" / "test-000000000000-2.csv"
    other.write_text("label,x,y,z\n0,1,2,3\n1,4,5,6\n")
    path = tmp_path / "models" / "tiny" / "1" / "assets.extra" / "model_card.json"
    card = json.loads(path.read_text())
    card["data"]["test"]["file"] |= {
        "path": "other/test-000000000000-2.csv",
        "sha256": hashlib.sha256(other.read_bytes()).hexdigest(),
    }
    path.write_text(json.dumps(card))
    done = trainer("evaluate", tmp_path / "models" / "tiny" / "1", "--data", tmp_path / "data")
    assert done.returncode == 1
    assert "The model does not take the examples, which have features" in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_a_model_whose_answers_are_no_numbers_is_not_published(tmp_path: Path) -> None:
    """Training's loss is finite; the test examples lie so far off that float32 ends."""
    rows = "".join(f"0.{row % 2},0.{row % 3},{row % 2}\n" for row in range(40))
    (tmp_path / "a.csv").write_text(f"a,b,label\n{rows}")
    (tmp_path / "test.csv").write_text("a,b,label\n3e38,-3e38,0\n-3e38,3e38,1\n")
    job = {
        "name": "far",
        "model": "far",
        "data": {"csv": "a.csv", "test": "test.csv"},
        "network": {"hidden": [4]},
        "fit": {"batch_size": 8, "epochs": 1},
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    places = ["--models", tmp_path / "models", "--data", tmp_path / "data", "--runs", tmp_path / "runs"]
    done = trainer("train", tmp_path / "job.json", *places)
    assert done.returncode == 1
    assert "answers to the test examples (probabilities) are no finite numbers" in done.stderr
    assert "Nothing was published." in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    assert not list((tmp_path / "models").glob("far/[0-9]*"))
