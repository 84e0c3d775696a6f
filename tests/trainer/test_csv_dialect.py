"""The trainer reads the sample files of the CSV dialect as their expected.json says; the client has the same ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_trainer.data import job_data
from atelier_trainer.errors import DataInvalid
from atelier_trainer.job import Job

FOLDER = Path(__file__).parents[1] / "data" / "csv"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


def read(folder: Path, name: str) -> Any:
    """The test examples of a job that is trained on plain.csv and tested on the file."""
    for file in ("plain.csv", name):
        shutil.copy(FOLDER / file, folder)
    document = {
        "name": "dialect",
        "model": "dialect",
        "data": {"csv": "plain.csv", "test": name},
        "network": {},
        "fit": {"batch_size": 1, "epochs": 1},
    }
    data = job_data.load(Job.from_document(document, folder), folder / "cache")
    assert list(data.class_names) == EXPECTED["classes"]
    assert list(data.columns) == EXPECTED["columns"]
    return data.test


@pytest.mark.parametrize("name", EXPECTED["read"])
def test_what_the_dialect_allows_is_read(tmp_path: Path, name: str) -> None:
    examples = read(tmp_path, name)
    np.testing.assert_array_equal(examples.inputs, np.array(EXPECTED["read"][name]["features"], np.float32))
    assert [EXPECTED["classes"][number] for number in examples.labels] == EXPECTED["read"][name]["labels"]


@pytest.mark.parametrize("name", EXPECTED["refused"])
def test_what_it_does_not_allow_is_refused_with_its_place(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataInvalid) as told:
        read(tmp_path, name)
    assert EXPECTED["refused"][name] in str(told.value)
