"""What cannot be imported is refused in one sentence, and nothing is published."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tests.support.foreign_models import old_h5
from tests.support.old_keras import dense, save_2019
from tests.support.trainer_command import in_process, trainer


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with old.h5 (4 numbers, 3 classes) and old.csv."""
    folder = tmp_path_factory.mktemp("old")
    old_h5(folder)
    return folder


def refused(folder: Path, model: Path, *options: object, code: int = 2) -> str:
    """Import and return the one sentence; the repository has no version after it, nor what was begun."""
    models = folder / "models"
    places = ["--models", models, "--data", folder / "data"]
    done = in_process("import", model, "--name", "it", *options, *places)
    assert done.exit_code == code, done.stderr
    left = [path.name for path in (models / "it").iterdir()] if (models / "it").exists() else []
    assert not [name for name in left if name.isdecimal() or name.startswith(".staging")]
    assert not (models / "models.config").exists()
    assert "\n" not in done.message
    return str(done.message)


class Doubling(keras.layers.Layer):
    """A layer of somebody's own."""

    def call(self, inputs: Any) -> Any:
        return inputs * 2


class OldDoubling(tf_keras.layers.Layer):
    """The same for Keras 2."""

    def call(self, inputs: Any) -> Any:
        return inputs * 2


def _saved(library: Any, layer: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library.Sequential([library.layers.Input((4,)), layer, library.layers.Dense(1)]).save(path)
    return path


@pytest.mark.parametrize(
    ("library", "suffix"), [(keras, "keras"), (keras, "h5"), (tf_keras, "keras"), (tf_keras, "h5")]
)
def test_a_lambda_layer_is_refused_and_not_run(tmp_path: Path, library: Any, suffix: str) -> None:
    marker = tmp_path / "ran"

    def function(values: Any, where: str = str(marker)) -> Any:
        open(where, "a").close()
        return values * 2

    path = _saved(library, library.layers.Lambda(function, output_shape=(4,)), tmp_path / f"model.{suffix}")
    marker.unlink(missing_ok=True)
    said = refused(tmp_path, path)
    assert "has a Lambda layer" in said
    assert "model.export(folder)" in said
    assert not marker.exists()


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize(("library", "layer"), [(keras, Doubling), (tf_keras, OldDoubling)])
def test_a_custom_layer_is_named(tmp_path: Path, library: Any, layer: Any, suffix: str) -> None:
    path = _saved(library, layer(), tmp_path / f"model.{suffix}")
    said = refused(tmp_path, path)
    assert f"needs the class {layer.__name__}, whose code is not in the file" in said


def test_a_file_cut_short_is_refused(tmp_path: Path, old: Path) -> None:
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]).save(path)
    for source, suffix in ((old / "old.h5", "h5"), (path, "keras")):
        content = source.read_bytes()
        for share in (0.05, 0.5, 0.95):
            cut = tmp_path / f"cut.{suffix}"
            cut.write_bytes(content[: int(len(content) * share)])
            assert "cut short" in refused(tmp_path, cut)


def test_a_changed_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]).save(path)
    content = bytearray(path.read_bytes())
    at = content.index(b'"class_name"')
    content[at + 2] ^= 1
    path.write_bytes(content)
    assert "damaged" in refused(tmp_path, path)


def test_what_is_no_model_is_refused(tmp_path: Path, old: Path) -> None:
    text = tmp_path / "model.h5"
    text.write_text("no model\n")
    assert "neither a zip archive nor HDF5" in refused(tmp_path, text)
    assert "does not exist" in refused(tmp_path, tmp_path / "absent.h5")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "is no SavedModel: it has no saved_model.pb" in refused(tmp_path, empty)
    pipe = tmp_path / "pipe.h5"
    os.mkfifo(pipe)
    assert "is no regular file" in refused(tmp_path, pipe)
    weights = tmp_path / "some.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]).save_weights(weights)
    assert "holds weights alone" in refused(tmp_path, weights)


def _module(folder: Path, function: Any) -> Path:
    module = tf.Module()
    module.function = tf.function(function, input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.function})
    return folder


def test_a_saved_model_without_a_signature_is_refused(tmp_path: Path) -> None:
    module = tf.Module()
    module.weight = tf.Variable(1.0)
    tf.saved_model.save(module, str(tmp_path / "model"))
    assert "has no signature" in refused(tmp_path, tmp_path / "model")


def test_a_saved_model_of_python_functions_is_refused(tmp_path: Path) -> None:
    folder = _module(tmp_path / "model", lambda x: {"y": tf.numpy_function(np.square, [x], tf.float32)})
    said = refused(tmp_path, folder)
    assert "calls Python functions (PyFunc" in said


def test_a_saved_model_for_training_is_refused(tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    folder = _module(tmp_path / "model", lambda x: {"y": x})
    path = folder / "saved_model.pb"
    document = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    document.meta_graphs[0].meta_info_def.tags[:] = ["train"]
    path.write_bytes(document.SerializeToString())
    assert "no graph with the tag 'serve'" in refused(tmp_path, folder)
    path.write_bytes(b"\xff" * 100)
    assert "is no SavedModel, or is cut short" in refused(tmp_path, folder)


def test_unknown_operations_are_named(tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    folder = _module(tmp_path / "model", lambda x: {"y": x * 2})
    path = folder / "saved_model.pb"
    document = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    document.meta_graphs[0].graph_def.node.add(name="words", op="WhitespaceTokenizeWithOffsetsV2")
    path.write_bytes(document.SerializeToString())
    said = refused(tmp_path, folder)
    assert "needs operations that TensorFlow" in said
    assert "WhitespaceTokenizeWithOffsetsV2" in said


def test_a_saved_model_that_lacks_its_variables_is_refused(tmp_path: Path, old: Path) -> None:
    places = ["--models", tmp_path / "other", "--data", tmp_path / "data"]
    assert in_process("import", old / "old.h5", "--name", "it", *places).exit_code == 0
    version = tmp_path / "other" / "it" / "1"
    next((version / "variables").glob("variables.data-*")).unlink()
    assert "the copy is not whole" in refused(tmp_path, version)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("a,b,c,d,kind\n1,2,3,4,setosa\n1,2,x,4,virginica\n", "row 2, column c: expected a number, got 'x'"),
        ("a,b,c,d,kind\n1,2,3,4,setosa\n1,2,3\n", "row 2: expected 5 cells, as the header has, got 3"),
        ("a,b,kind\n1,2,setosa\n", "does not fit the input dense_1_input (float32 [N, 4])"),
        ("a,b,c,kind\n1,2,3,setosa\n", "row 1, column kind: expected a number, got 'setosa'"),
        (
            "a,b,c,d,kind\n1,2,3,4,rose\n1,2,3,4,tulip\n",
            "2 different labels, and the output dense_2 has 3 classes",
        ),
        ("a,b,c,d,kind\n1,2,3,4,\n", "row 1, column kind: the label is empty"),
        ("a,b,c,d,kind\n", "has a header and no rows"),
        ("", "is empty"),
    ],
)
def test_examples_that_do_not_fit_are_refused(tmp_path: Path, old: Path, content: str, wanted: str) -> None:
    path = tmp_path / "examples.csv"
    path.write_text(content)
    assert wanted in refused(tmp_path, old / "old.h5", "--examples", path)


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"x_test": np.zeros((3, 5)), "y_test": np.zeros(3, int)}, "a row has the shape [5]"),
        ({"x_test": np.zeros((3, 4)), "y_test": np.zeros(2, int)}, "equally many rows"),
        ({"x_test": np.array([["a"] * 4]), "y_test": np.zeros(1, int)}, "does not take <U1"),
        ({"x_test": np.full((3, 4), 1e300), "y_test": np.zeros(3, int)}, "does not take the value 1e+300"),
        ({"x_test": np.zeros((3, 4)), "y_test": np.array([0, 1, 7])}, "the label '7' is out of range"),
        ({"a": np.zeros((3, 4)), "b": np.zeros((3, 4))}, "has no column for the input dense_1_input"),
        ({}, "has no column for the input dense_1_input (float32 [N, 4]). It has: nothing"),
        (
            {"x_test": np.full((3, 4), np.nan), "y_test": np.zeros(3, int)},
            "row 1: expected finite numbers",
        ),
        ({"x_test": np.zeros((3, 4)), "y_test": np.array([0, np.nan, 1])}, "row 2: the label is 'nan'"),
        ({"x_test": np.zeros((3, 4)), "y_test": np.array([[0, 1, 0.5]] * 3)}, "row 1: expected 0 or 1"),
        (
            {"x_test": np.zeros((3, 4)), "y_test": np.zeros((3, 2))},
            "expected one label a row, got [3, 2]",
        ),
        ({"x_test": np.zeros((0, 4)), "y_test": np.zeros(0, int)}, "equally many rows, and not none"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, old: Path, arrays: dict[str, Any], wanted: str
) -> None:
    path = tmp_path / "examples.npz"
    np.savez(path, **arrays)
    labels = tmp_path / "names.txt"
    labels.write_text("x\ny\nz\n")
    assert wanted in refused(tmp_path, old / "old.h5", "--examples", path, "--labels", labels)


def test_an_npz_cut_short_or_pickled_is_refused(tmp_path: Path, old: Path) -> None:
    path = tmp_path / "examples.npz"
    np.savez(path, x_test=np.zeros((3, 4)), y_test=np.zeros(3, int))
    path.write_bytes(path.read_bytes()[:200])
    assert "is no readable .npz" in refused(tmp_path, old / "old.h5", "--examples", path)
    np.savez(path, x_test=np.array([[object()]], object))
    assert "is no readable .npz" in refused(tmp_path, old / "old.h5", "--examples", path)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("setosa\nversicolor\n", "names 2 classes, and the output dense_2 has 3 values a row"),
        ("a\n\nb\n", "line 2: the line is empty"),
        ("a\nb\na\n", "a is there twice"),
        ('["a", "b"', "is no JSON"),
        ('{"a": 1}', "expected a JSON list"),
        ("a\n", "expected two or more"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, old: Path, content: str, wanted: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(content)
    assert wanted in refused(tmp_path, old / "old.h5", "--labels", path)


def test_labels_outside_the_classes_are_refused(tmp_path: Path, old: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("setosa\nversicolor\nrose\n")
    said = refused(tmp_path, old / "old.h5", "--labels", path, "--examples", old / "old.csv")
    assert "column kind" in said
    assert "'virginica'" in said


def test_options_that_name_nothing_are_refused(tmp_path: Path, old: Path) -> None:
    model = old / "old.h5"
    assert "has the outputs dense_2" in refused(tmp_path, model, "--output", "dense_9")
    assert "has the signatures serving_default" in refused(tmp_path, model, "--signature", "predict")
    column = ["--examples", old / "old.csv", "--label-column", "kynd"]
    assert "Did you mean 'kind'?" in refused(tmp_path, model, *column)
    assert "does not exist" in refused(tmp_path, model, "--examples", tmp_path / "absent.csv")
    assert "of no format known by its name" in refused(tmp_path, model, "--examples", model)
    names = tmp_path / "names.txt"
    names.write_text("x\ny\nz\n")
    assert "has no classes" in refused(tmp_path, model, "--task", "regression", "--labels", names)


def test_a_name_that_is_none_is_refused_by_the_command(tmp_path: Path, old: Path) -> None:
    done = trainer("import", old / "old.h5", "--name", "../up", "--models", tmp_path / "models")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "it names a folder" in done.stderr
    assert not (tmp_path / "models").exists()


def test_without_examples_it_is_said_what_is_missing(tmp_path: Path, old: Path) -> None:
    places = ["--models", tmp_path / "models", "--data", tmp_path / "data"]
    done = in_process("import", old / "old.h5", "--name", "it", *places)
    assert done.exit_code == 0
    assert "without golden examples" in done.stderr
    assert "without warm-up requests" in done.stderr
    extra = tmp_path / "models" / "it" / "1" / "assets.extra"
    assert [path.name for path in extra.iterdir()] == ["model_card.json"]
    card = json.loads((extra / "model_card.json").read_text())
    assert card["data"]["test"]["file"] is None
    assert card["metrics"]["test"] == {}
    assert card["unmeasured"] == "there are no examples"


def test_the_same_import_is_made_once(tmp_path: Path, old: Path) -> None:
    places = ["--models", tmp_path / "models", "--data", tmp_path / "data", "--if-needed"]
    asked = ["import", old / "old.h5", "--name", "it", "--examples", old / "old.csv", *places]

    def version() -> tuple[int, bool]:
        result = json.loads(in_process(*asked).stdout.splitlines()[-1])
        return result["version"], result["imported"]

    assert version() == (1, True)
    assert version() == (1, False)
    (tmp_path / "models" / "it" / "1" / "saved_model.pb").write_bytes(b"")
    assert version() == (2, True)
    next((tmp_path / "data" / "it").glob("*.npz")).unlink()
    assert version() == (3, True)
    save_2019(
        old / "old.h5",
        [dense("dense_1", 3, "softmax", 4)],
        [np.ones((4, 3), np.float32), np.ones(3, np.float32)],
    )
    assert version() == (4, True)
