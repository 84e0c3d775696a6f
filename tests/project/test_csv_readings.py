"""Trainer and client read any CSV file alike: the same values and labels, or both refuse it."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client._layout import Layout
from atelier_client.data.binding import Binding
from atelier_client.data.open import open_reader
from atelier_client.errors import DataError
from atelier_client.signature import Signature, TensorInfo
from atelier_trainer.data import job_data
from atelier_trainer.data.dataset import DataSet
from atelier_trainer.errors import DataInvalid
from atelier_trainer.job import Job

# No carriage return alone: the dialect's lines end with LF or CRLF.
PIECES = [
    "1", "2", "1.0", " 1", "2 ", "", "NA", "a", "cat", "x y", '"', '""', ",", "\n", "\r\n", "\t", " ", "True",
    "-1", "1e3", "é", "\xa0", "\x00", "\\", "'", "nan", "0", "00", ".5", "5.", "1,5", "+", "-", "e", "_", "0x",
]  # fmt: skip
FILES = 150
# What a job says, and the rows that it is trained on; columns of other files come in another order.
JOBS: dict[str, tuple[dict[str, Any], str]] = {
    "numbers": ({}, "label,a,b\n1,1,0\n2,2,1\nx,3,0\n"),
    "columns": (
        {"columns": {"b": "category"}, "missing": ["", "NA"]},
        "label,a,b\n1,1,a\n2,NA,b\nx,,\n",
    ),
    "text": ({"text": "b"}, "label,a,b\n1,1,a\n2,2,b\nx,3,c\n"),
}


def cell(chance: random.Random) -> str:
    return "".join(chance.choices(PIECES, k=chance.randint(0, 3)))


def written(chance: random.Random, text: str) -> str:
    """The cell as a file has it: mostly quoted where it must be."""
    needs = any(sign in text for sign in '",\r\n')
    quoted = chance.random() < (0.9 if needs else 0.3)
    return '"' + text.replace('"', '""') + '"' if quoted else text


def file(chance: random.Random) -> str:
    columns = chance.sample(["label", "a", "b"], 3)
    lines = [",".join(columns)]
    for _ in range(chance.randint(1, 4)):
        cells = {
            "label": chance.choice(["1", "2", "x", "2.0", " 1"]) if chance.random() < 0.9 else cell(chance),
            "a": chance.choice(["1", "2.5", "-3", "1e2", "True"]) if chance.random() < 0.8 else cell(chance),
            "b": chance.choice(["1", "2", "0"]) if chance.random() < 0.7 else cell(chance),
        }
        line = ",".join(written(chance, cells[name]) for name in columns)
        broken = chance.random()
        if broken < 0.1:
            line = chance.choice([f"{line},", line.rpartition(",")[0], "", " ", "\t", '""', "\xa0"])
        lines.append(line)
    start = chance.choice(["", "", "\n", " \n", "\ufeff"])
    return start + chance.choice(["\n", "\r\n"]).join(lines) + chance.choice(["", "\n"])


def trained(folder: Path, test: str, section: dict[str, Any]) -> DataSet:
    document = {
        "name": "a",
        "model": "a",
        "data": {"csv": "plain.csv", "test": test, **section},
        "network": {},
        "fit": {"batch_size": 1, "epochs": 1},
    }
    return job_data.load(Job.from_document(document, folder), folder / "cache")


def asked(path: Path, data_set: DataSet) -> tuple[dict[str, Any], list[int]]:
    """What the client sends to the model of the data set, and the classes it counts with."""
    said = data_set.csv_format
    layout = Layout(
        data_set.kind,
        data_set.shape,
        said["label"],
        said.get("text"),
        data_set.columns,
        missing=tuple(said.get("missing", ())),
        kinds=said.get("kinds", {}),
    )
    if data_set.kind == "text":
        inputs = [TensorInfo("text", "string", (-1,))]
    elif data_set.features:
        types = {"number": "float32", "category": "string"}
        inputs = [TensorInfo(column.name, types[column.kind], (-1,)) for column in data_set.features]
    else:
        inputs = [TensorInfo("features", "float32", (-1, *data_set.shape))]
    served = Signature("s", "", {item.name: item for item in inputs}, {}, frozenset())
    binding = Binding(served, str(path), layout=layout)
    parts: dict[str, list[Any]] = {item.name: [] for item in inputs}
    labels: list[int] = []
    for table in open_reader(path, layout).tables(2):
        for name, values in binding.inputs(table, len(labels)).items():
            parts[name].append(values)
        labels += binding.labels(table, len(labels), data_set.class_names, len(data_set.class_names)).tolist()
    if not labels:
        raise DataError("no rows")
    return {name: np.concatenate(values) for name, values in parts.items()}, labels


def plain(values: np.ndarray) -> np.ndarray:
    """Texts as bytes."""
    if values.dtype != object:
        return values
    return np.array([item.encode() if isinstance(item, str) else item for item in values], object)


@pytest.mark.parametrize("name", JOBS)
def test_every_file_is_read_alike_or_refused_by_both(tmp_path: Path, name: str) -> None:
    section, rows = JOBS[name]
    (tmp_path / "plain.csv").write_text(rows)
    known = trained(tmp_path, "plain.csv", section)
    chance = random.Random(name)
    read = 0
    for _ in range(FILES):
        content = file(chance)
        (tmp_path / "file.csv").write_bytes(content.encode())
        mine: Any = None
        theirs: Any = None
        with contextlib.suppress(DataInvalid):
            mine = trained(tmp_path, "file.csv", section).test
        with contextlib.suppress(DataError):
            theirs = asked(tmp_path / "file.csv", known)
        assert (mine is None) == (theirs is None), repr(content)
        if mine is None:
            continue
        read += 1
        assert mine.labels.tolist() == theirs[1], repr(content)
        for input_name, values in theirs[0].items():
            learnt = mine.inputs[input_name] if mine.inputs.dtype.names else mine.inputs
            np.testing.assert_array_equal(plain(learnt), plain(values), err_msg=repr(content))
    # Most files have a fault; so many are left that what is read is compared too.
    assert read > FILES // 10
