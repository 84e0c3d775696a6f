"""The client reads the sample files of the CSV dialect as their expected.json says; the trainer has the same ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client._layout import Layout
from atelier_client.data.binding import Binding
from atelier_client.data.open import open_reader
from atelier_client.errors import DataError
from atelier_client.signature import Signature, TensorInfo

FOLDER = Path(__file__).parents[1] / "data" / "csv"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())
LAYOUT = Layout("table", (2,), "label", None, tuple(EXPECTED["columns"]))
TABLE = Signature("s", "", {"features": TensorInfo("features", "float32", (-1, 2))}, {}, frozenset())


def read(path: Path, rows: int) -> tuple[Any, list[str]]:
    """The features, and the class name of each row."""
    reader = open_reader(path, LAYOUT)
    binding = Binding(TABLE, str(path), layout=LAYOUT)
    features, labels, first = [], [], 0
    for table in reader.tables(rows):
        features.append(binding.inputs(table, first)["features"])
        labels += binding.labels(table, first, EXPECTED["classes"], 2).tolist()
        first = len(labels)
    return np.concatenate(features), [EXPECTED["classes"][number] for number in labels]


@pytest.mark.parametrize("rows", [1, 100])
@pytest.mark.parametrize("name", EXPECTED["read"])
def test_what_the_dialect_allows_is_read(name: str, rows: int) -> None:
    features, labels = read(FOLDER / name, rows)
    np.testing.assert_array_equal(features, np.array(EXPECTED["read"][name]["features"], np.float32))
    assert labels == EXPECTED["read"][name]["labels"]


@pytest.mark.parametrize("name", EXPECTED["refused"])
def test_what_it_does_not_allow_is_refused_with_its_place(name: str) -> None:
    with pytest.raises(DataError) as told:
        read(FOLDER / name, 100)
    assert EXPECTED["refused"][name] in str(told.value)


def test_every_sample_file_is_expected() -> None:
    names = {path.name for path in FOLDER.iterdir()} - {"expected.json", "README.md"}
    assert names == {*EXPECTED["read"], *EXPECTED["refused"]}
