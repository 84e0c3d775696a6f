"""Imported models that do not classify single rows: the card has the metrics that `evaluate` finds when served."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.client_command import command
from tests.support.request_logs import write_log
from tests.support.server import running_server
from tests.support.trainer_command import in_process

ROWS = 60
TAGS = ("dog", "sea", "sun")
_RANDOM = np.random.default_rng(1)
_VALUES = np.round(_RANDOM.normal(size=(ROWS, 4)), 3).astype(np.float32)
_STEPS = _RANDOM.normal(size=(ROWS, 5, 2)).astype(np.float32)
_TRUTH = _RANDOM.integers(2, size=(ROWS, 3))


@dataclass(frozen=True)
class Kind:
    """A model's layers behind its input, the file of its examples, and what the import has to find out."""

    input: Any
    layers: list[Any]
    write: Callable[[Path], Path]
    task: str
    options: list[str] = field(default_factory=list)
    said: str = ""


def _csv(path: Path, header: list[str], rows: Any) -> Path:
    with open(path, "w", newline="") as handle:
        csv.writer(handle).writerows([header, *rows])
    return path


def _npz(path: Path, x: NDArray[Any], labels: NDArray[Any]) -> Path:
    np.savez(path, x=x, label=labels)
    return path


def _named(row: NDArray[Any]) -> str:
    return "|".join(name for name, has in zip(TAGS, row, strict=True) if has)


def _numbers(folder: Path) -> Path:
    amounts = (_VALUES.sum(axis=1) * 10 + _RANDOM.normal(size=ROWS)).round(2)
    rows = [[*values, amount] for values, amount in zip(_VALUES.tolist(), amounts.tolist(), strict=True)]
    return _csv(folder / "numbers.csv", ["a", "b", "c", "d", "amount"], rows)


def _tags(folder: Path) -> Path:
    rows = [[*values, *row] for values, row in zip(_VALUES.tolist(), _TRUTH.tolist(), strict=True)]
    return _csv(folder / "tags.csv", ["a", "b", "c", "d", *TAGS], rows)


def _texts(folder: Path) -> Path:
    texts = ["a " + " ".join(_RANDOM.choice(["big", "wet", "hot", "dry"], 3)) for _ in range(ROWS)]
    # Every row has a tag: a cell without text would be a row without a label.
    rows = [[text, _named(row) or "sun"] for text, row in zip(texts, _TRUTH, strict=True)]
    return _csv(folder / "texts.csv", ["text", "label"], rows)


KINDS = {
    "number": Kind(
        keras.Input((4,), name="x"), [keras.layers.Dense(1, name="amount")], _numbers, "regression"
    ),
    "numbers": Kind(
        keras.Input((4,), name="x"),
        [keras.layers.Dense(2, name="y")],
        lambda folder: _npz(folder / "two.npz", _VALUES, _RANDOM.normal(size=(ROWS, 2))),
        "regression",
        said="the labels are several numbers a row",
    ),
    "tags": Kind(
        keras.Input((4,), name="x"),
        [keras.layers.Dense(3, activation="sigmoid", name="y")],
        _tags,
        "multi_label",
        ["--label-column", "dog,sea,sun"],
        "the labels are several a row",
    ),
    "texts": Kind(
        keras.Input((), dtype="string", name="text"),
        [
            keras.layers.TextVectorization(output_mode="multi_hot", vocabulary=["big", "wet", "hot"]),
            keras.layers.Dense(3, activation="sigmoid", name="y"),
        ],
        _texts,
        "multi_label",
        said="names with | between",
    ),
    "steps": Kind(
        keras.Input((5, 2), name="x"),
        [keras.layers.LSTM(3, return_sequences=True), keras.layers.Dense(4, activation="softmax", name="y")],
        lambda folder: _npz(folder / "steps.npz", _STEPS, _RANDOM.integers(4, size=(ROWS, 5))),
        "classification",
        said="several values a step, and the labels one",
    ),
    "series": Kind(
        keras.Input((5, 2), name="x"),
        [keras.layers.LSTM(3, return_sequences=True), keras.layers.Dense(1, name="y")],
        lambda folder: _npz(folder / "series.npz", _STEPS, _RANDOM.normal(size=(ROWS, 5))),
        "regression",
    ),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The folder with all kinds imported, and the address that they are served at."""
    folder = tmp_path_factory.mktemp("tasks")
    places = ["--models", folder / "models", "--data", folder / "data"]
    for name, kind in KINDS.items():
        keras.utils.set_random_seed(7)
        path = folder / f"{name}.keras"
        keras.Sequential([kind.input, *kind.layers]).save(path)
        given = ["--examples", kind.write(folder), *kind.options]
        done = in_process("import", path, "--name", name, *given, *places)
        assert done.exit_code == 0, done.message
        assert kind.said in done.stderr
    config = f"--model_config_file={folder / 'models' / 'models.config'}"
    with running_server(folder / "models", config, model="number") as running:
        yield folder, running.grpc


def card_of(folder: Path, name: str) -> Any:
    extra = folder / "models" / name / "1" / "assets.extra"
    return json.loads((extra / "model_card.json").read_text())


@pytest.mark.parametrize("name", KINDS)
def test_the_card_has_what_evaluate_finds(served: tuple[Path, str], name: str, tmp_path: Path) -> None:
    folder, address = served
    card = card_of(folder, name)
    assert (card["task"], card["unmeasured"]) == (KINDS[name].task, None)
    places = ["--models", folder / "models", "--data", folder / "data", "--reports", tmp_path]
    done = command("evaluate", "--json", "--target", address, "--model", name, *places)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    trained = dict(card["metrics"]["test"])
    assert trained.pop("examples") == report["dataset"]["examples"] == ROWS
    assert len(trained) >= 4
    assert {key: report["metrics"][key] for key in trained} == pytest.approx(trained, rel=1e-5, abs=1e-6)
    assert report["trained"]["metrics"] == trained
    assert report["skew"]["max_abs_diff"] < 1e-6


def test_the_classes_of_several_columns_are_their_names(served: tuple[Path, str]) -> None:
    folder, _ = served
    assert card_of(folder, "tags")["class_names"] == card_of(folder, "texts")["class_names"] == list(TAGS)


def test_the_user_s_own_table_of_several_classes_is_evaluated(
    served: tuple[Path, str], tmp_path: Path
) -> None:
    folder, address = served
    places = ["--models", folder / "models", "--data", folder / "data", "--reports", tmp_path]
    for name in ("tags", "texts"):
        done = command(
            "evaluate", folder / f"{name}.csv", "--json", "--target", address, "--model", name, *places
        )
        assert done.returncode == 0, done.stderr
        trained = card_of(folder, name)["metrics"]["test"]
        assert json.loads(done.stdout)["metrics"]["micro_f1"] == pytest.approx(trained["micro_f1"])


def test_drift_of_an_imported_regression_is_found(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = served
    amounts = np.repeat(_VALUES.sum(axis=1, keepdims=True), 10, axis=0) + 100
    inputs = {"x": np.repeat(_VALUES, 10, axis=0)}
    write_log(tmp_path / "log", inputs, {"amount": amounts.astype(np.float32)}, model="number")
    places = ["--model", "number", "--models", folder / "models", "--reports", tmp_path]
    done = command("drift", "--log", tmp_path / "log", *places)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "amount" in done.stdout
