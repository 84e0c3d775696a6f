"""What an imported model is taken for: the task, the output and the classes, by its answers and the labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from tests.support.trainer_command import in_process

ROWS = 12
_VALUES = np.random.default_rng(1).normal(size=(ROWS, 4)).astype(np.float32)


def _dense(units: int, activation: str) -> keras.Model:
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [keras.Input((4,), name="x"), keras.layers.Dense(units, activation=activation, name="y")]
    )


def _imported(folder: Path, model: keras.Model, labels: Any, *options: object) -> tuple[dict[str, Any], str]:
    """The model card, and what was said."""
    model.save(folder / "model.keras")
    np.savez(folder / "examples.npz", x=_VALUES, label=labels)
    places = ["--models", folder / "models", "--data", folder / "data"]
    given = ["--name", "it", "--examples", folder / "examples.npz", *options]
    done = in_process("import", folder / "model.keras", *given, *places)
    assert done.exit_code == 0, done.message
    card = json.loads((folder / "models" / "it" / "1" / "assets.extra" / "model_card.json").read_text())
    return card, done.stderr


def _test_labels(folder: Path, card: dict[str, Any]) -> NDArray[Any]:
    with np.load(folder / "data" / card["data"]["test"]["file"]["path"]) as arrays:
        return np.asarray(arrays["labels"])


def test_one_sigmoid_and_two_labels_are_a_classification(tmp_path: Path) -> None:
    card, said = _imported(tmp_path, _dense(1, "sigmoid"), np.arange(ROWS) % 2)
    assert (card["task"], card["class_names"]) == ("classification", ["0", "1"])
    assert "The task is taken for classification" in said
    assert card["metrics"]["test"]["examples"] == ROWS


def test_one_number_and_many_labels_are_a_regression(tmp_path: Path) -> None:
    labels = _VALUES.sum(axis=1)
    card, said = _imported(tmp_path, _dense(1, "linear"), labels)
    assert (card["task"], card["class_names"]) == ("regression", [])
    assert "The task is taken for regression" in said
    assert np.array_equal(_test_labels(tmp_path, card), labels.astype(np.float64))


def test_the_task_asked_for_goes_before_the_guess(tmp_path: Path) -> None:
    card, said = _imported(tmp_path, _dense(1, "sigmoid"), np.arange(ROWS) % 2, "--task", "regression")
    assert card["task"] == "regression"
    assert "The task is taken for" not in said


def test_several_sigmoids_and_several_labels_are_multi_label(tmp_path: Path) -> None:
    labels = np.random.default_rng(2).integers(2, size=(ROWS, 3))
    card, _ = _imported(tmp_path, _dense(3, "sigmoid"), labels)
    assert (card["task"], card["class_names"]) == ("multi_label", ["0", "1", "2"])
    assert np.array_equal(_test_labels(tmp_path, card), labels)


def test_one_hot_labels_of_a_softmax_are_classes(tmp_path: Path) -> None:
    card, said = _imported(tmp_path, _dense(3, "softmax"), np.eye(3)[np.arange(ROWS) % 3])
    assert card["task"] == "classification"
    assert "the labels are one-hot rows" in said
    assert np.array_equal(_test_labels(tmp_path, card), np.arange(ROWS) % 3)


def test_logits_are_published_and_not_measured(tmp_path: Path) -> None:
    card, said = _imported(tmp_path, _dense(3, "linear"), np.arange(ROWS) % 3)
    assert card["metrics"]["test"] == {}
    assert "if they are logits, give the model a softmax" in said
    assert (tmp_path / "models" / "it" / "1" / "assets.extra" / "golden.npz").is_file()


def test_labels_that_the_trainer_does_not_measure_are_kept_for_the_client(tmp_path: Path) -> None:
    labels = np.random.default_rng(4).normal(size=(ROWS, 5))
    keras.utils.set_random_seed(5)
    layers = [keras.layers.Reshape((4, 1)), keras.layers.LSTM(5, return_sequences=True)]
    model = keras.Sequential([keras.Input((4,), name="x"), *layers])
    card, said = _imported(tmp_path, model, labels, "--task", "regression")
    assert "it is not measured: " in said
    assert "answers [12, 4, 5] and the labels are [12, 5]" in said
    assert np.array_equal(_test_labels(tmp_path, card), labels)


def test_of_several_outputs_none_is_guessed(tmp_path: Path) -> None:
    keras.utils.set_random_seed(6)
    x = keras.Input((4,), name="x")
    outputs = [keras.layers.Dense(2, activation="softmax", name=name)(x) for name in ("first", "second")]
    card, said = _imported(tmp_path, keras.Model(x, outputs), np.arange(ROWS) % 2)
    assert card["output"] is None
    assert list(card["outputs"]) == ["first", "second"]
    assert np.array_equal(_test_labels(tmp_path, card), np.arange(ROWS) % 2)
    assert "which of the outputs is measured was not said (--output NAME)" in said
