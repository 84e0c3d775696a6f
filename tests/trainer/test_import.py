"""Models of other people, imported: what is served answers as the model did, with the metrics of the card."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client import Client

from tests.support.client_command import command
from tests.support.foreign_models import CLASSES, KINDS, ROWS, ForeignModel
from tests.support.server import running_server
from tests.support.trainer_command import in_process

# What a kind is imported with beside its examples.
OPTIONS = {"several": ["--output", "kind"], "keras2": ["--task", "classification"]}


@dataclass(frozen=True)
class Imported:
    """A repository with all kinds, the models that were imported, what the commands said, and the served address."""

    folder: Path
    models: dict[str, ForeignModel]
    said: dict[str, str]
    results: dict[str, dict[str, Any]]
    address: str

    def card(self, name: str) -> dict[str, Any]:
        path = self.folder / "models" / name / "1" / "assets.extra" / "model_card.json"
        document: dict[str, Any] = json.loads(path.read_text())
        return document

    @property
    def places(self) -> list[str]:
        return ["--models", str(self.folder / "models"), "--data", str(self.folder / "data")]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imported]:
    """All kinds, imported into one repository and served from it."""
    folder = tmp_path_factory.mktemp("imported")
    models, said, results = {}, {}, {}
    places = ["--models", str(folder / "models"), "--data", str(folder / "data")]
    for name, make in KINDS.items():
        models[name] = make(folder)
        given = ["--examples", str(models[name].examples), *OPTIONS.get(name, [])]
        done = in_process("import", models[name].path, "--name", name, *given, *places)
        assert done.exit_code == 0, done.stderr
        said[name], results[name] = done.stderr, json.loads(done.stdout.splitlines()[-1])
    config = f"--model_config_file={folder / 'models' / 'models.config'}"
    with running_server(folder / "models", config, model="old") as running:
        yield Imported(folder, models, said, results, running.grpc)


@pytest.mark.parametrize("name", KINDS)
def test_an_imported_model_is_served_as_it_answered_itself(imported: Imported, name: str) -> None:
    model = imported.models[name]
    with Client(imported.address, name) as client:
        served = client.predict(model.inputs)
    assert np.abs(served[model.output] - model.answers).max() < 1e-6


@pytest.mark.parametrize("name", KINDS)
def test_an_imported_model_is_evaluated_by_one_command(imported: Imported, name: str, tmp_path: Path) -> None:
    output = ["--output", imported.models[name].output]
    asked = ["--target", imported.address, "--model", name, *imported.places, "--reports", tmp_path]
    done = command("evaluate", "--json", *asked, *output)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    trained = dict(imported.card(name)["metrics"]["test"])
    assert trained.pop("examples") == report["dataset"]["examples"] == ROWS
    assert trained["accuracy"] == 0.75
    assert {key: report["metrics"][key] for key in trained} == pytest.approx(trained, abs=1e-6)
    assert report["skew"]["examples"] == 16
    assert report["skew"]["max_abs_diff"] < 1e-6
    assert report["skew"]["mismatched_labels"] == 0


def test_a_card_says_what_was_imported_and_with_what(imported: Imported) -> None:
    card = imported.card("old")
    assert card["imported"]["from"] == "old.h5"
    assert card["imported"]["loader"].startswith("tf_keras 2.")
    assert (card["task"], card["class_names"], card["output"]) == ("classification", list(CLASSES), "dense_2")
    assert card["inputs"] == {"dense_1_input": {"dtype": "float32", "shape": [None, 4]}}
    assert card["input"]["columns"] == ["a", "b", "c", "d"]
    assert card["input"]["label"] == "kind"
    assert imported.card("keras3")["imported"]["loader"].startswith("keras 3.")
    assert list(imported.card("several")["outputs"]) == ["kind", "weight"]
    assert imported.card("jax")["imported"]["format"] == "saved_model"


def test_what_was_guessed_is_said(imported: Imported) -> None:
    said = imported.said["old"]
    assert "the label is taken from the column 'kind', the only one that holds no numbers" in said
    assert "the columns a, b, c, d are taken in their order" in said
    assert "the classes are taken in the order of the alphabet: setosa, versicolor, virginica" in said
    assert "is a file of Keras 2: tf_keras" in said
    assert "does not take the columns id; they are passed over" in imported.said["several"]


def test_a_saved_model_keeps_its_signatures_variables_and_assets_to_the_byte(imported: Imported) -> None:
    for name in ("tf1", "jax"):
        source, version = imported.models[name].path, imported.folder / "models" / name / "1"
        names = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
        assert len(names) > 2
        for file in names:
            assert (version / file).read_bytes() == (source / file).read_bytes()


def test_the_warm_up_is_of_one_row_and_of_the_served_signature(imported: Imported) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    path = imported.folder / "models" / "several" / "1" / "assets.extra" / "tf_serving_warmup_requests"
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    requests = [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in records]
    assert [list(request.output_filter) for request in requests] == [[], ["kind"]]
    assert {name: list(tf.make_ndarray(value).shape) for name, value in requests[0].inputs.items()} == {
        "age": [1, 1],
        "city": [1, 1],
    }


def test_the_users_own_file_is_evaluated_as_the_trainer_read_it(imported: Imported, tmp_path: Path) -> None:
    for name in ("old", "tf1", "several", "keras3"):
        model = imported.models[name]
        asked = ["--target", imported.address, "--model", name, *imported.places, "--reports", tmp_path]
        done = command("evaluate", model.examples, "--json", *asked, "--output", model.output)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["metrics"]["accuracy"] == 0.75
