"""Models as other people save them, each with examples of it and what the model itself answers to them."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tests.support.old_keras import dense, save_2019

ROWS = 40
CLASSES = ("setosa", "versicolor", "virginica")


@dataclass(frozen=True)
class ForeignModel:
    """`inputs` and `answers` of its `output`. `labels` are the class numbers in the examples: what the model says in
    three rows of four."""

    path: Path
    examples: Path
    inputs: dict[str, NDArray[Any]]
    output: str
    answers: NDArray[Any]
    labels: NDArray[Any]


def old_h5(folder: Path) -> ForeignModel:
    """A file of Keras 2.2.4, its examples a CSV; answered by NumPy from the weights in the file."""
    random = np.random.default_rng(1)
    shapes = [(4, 8), (8,), (8, 3), (3,)]
    first, bias, second, last = weights = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    layers = [dense("dense_1", 8, "relu", 4), dense("dense_2", 3, "softmax")]
    path = save_2019(folder / "old.h5", layers, weights)
    values = _table()
    logits = np.maximum(values @ first + bias, 0) @ second + last
    answers = _softmax(logits)
    labels = _labels(answers)
    _write_csv(folder / "old.csv", values, [CLASSES[label] for label in labels])
    return ForeignModel(path, folder / "old.csv", {"dense_1_input": values}, "dense_2", answers, labels)


def keras_3(folder: Path) -> ForeignModel:
    """A .keras file of Keras 3 that takes pictures."""
    import keras

    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1), name="picture"),
            keras.layers.Conv2D(2, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax", name="kind"),
        ]
    )
    path = folder / "pictures.keras"
    model.save(path)
    values = np.random.default_rng(3).random((ROWS, 6, 6, 1), np.float32)
    answers = model.predict(values, verbose=0)
    labels = _labels(answers)
    np.savez(folder / "pictures.npz", x_test=values, y_test=labels)
    return ForeignModel(path, folder / "pictures.npz", {"picture": values}, "kind", answers, labels)


def keras_2(folder: Path) -> ForeignModel:
    """An .h5 of tf_keras with a recurrent layer, which answers one sigmoid."""
    import tf_keras

    tf_keras.utils.set_random_seed(4)
    layers = [
        tf_keras.layers.Input((5, 2), name="series"),
        tf_keras.layers.GRU(3),
        tf_keras.layers.Dense(1, activation="sigmoid", name="risk"),
    ]
    model = tf_keras.Sequential(layers)
    path = folder / "series.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    values = np.random.default_rng(5).normal(size=(ROWS, 5, 2)).astype(np.float32)
    answers = model.predict(values, verbose=0)
    labels = _labels(np.concatenate([1 - answers, answers], axis=1))
    np.savez(folder / "series.npz", series=values, label=labels)
    return ForeignModel(path, folder / "series.npz", {"series": values}, "risk", answers, labels)


def tensorflow_1(folder: Path) -> ForeignModel:
    """A SavedModel of TensorFlow 1: a session's graph with a table that an asset fills."""
    v1 = tf.compat.v1
    vocabulary = folder / "words.txt"
    vocabulary.write_text("red\ngreen\nblue\n")
    random = np.random.default_rng(6)
    kernel = random.normal(size=(4, 3)).astype(np.float32)
    texts = np.array([b"red", b"green", b"blue", b"violet"], object)[random.integers(4, size=ROWS)]
    path = folder / "colors"
    with tf.Graph().as_default(), v1.Session() as session:
        color = v1.placeholder(tf.string, [None], "color")
        asset = tf.constant(str(vocabulary))
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, asset)
        initializer = tf.lookup.TextFileInitializer(
            asset,
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        table = tf.lookup.StaticVocabularyTable(initializer, num_oov_buckets=1)
        weights = v1.get_variable("weights", initializer=kernel, use_resource=False)
        answer = tf.nn.softmax(tf.gather(weights, table.lookup(color)))
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        answers = session.run(answer, {color: texts})
        signature = v1.saved_model.build_signature_def(
            {"color": v1.saved_model.build_tensor_info(color)},
            {"scores": v1.saved_model.build_tensor_info(answer)},
            v1.saved_model.signature_constants.PREDICT_METHOD_NAME,
        )
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(
            session,
            [v1.saved_model.tag_constants.SERVING],
            {"serving_default": signature},
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=v1.tables_initializer(),
        )
        builder.save()
    labels = _labels(answers)
    with open(folder / "colors.csv", "w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["color", "class"])
        rows.writerows(zip([text.decode() for text in texts], labels.tolist(), strict=True))
    return ForeignModel(path, folder / "colors.csv", {"color": texts}, "scores", answers, labels)


def jax_function(folder: Path) -> ForeignModel:
    """A function of JAX, saved by jax2tf with a batch of any size."""
    import jax
    from jax.experimental import jax2tf

    kernel = np.random.default_rng(7).normal(size=(4, 3)).astype(np.float32)

    def function(values: Any) -> Any:
        return jax.nn.softmax(values @ kernel)

    module = tf.Module()
    module.function = tf.function(
        lambda values: {
            "probabilities": jax2tf.convert(function, polymorphic_shapes=["(b, 4)"], with_gradient=False)(
                values
            )
        },
        autograph=False,
        input_signature=[tf.TensorSpec([None, 4], tf.float32, name="values")],
    )
    path = folder / "jax"
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.function})
    values = _table()
    answers = np.asarray(function(values))
    labels = _labels(answers)
    _write_csv(folder / "jax.csv", values, [str(label) for label in labels])
    return ForeignModel(path, folder / "jax.csv", {"values": values}, "probabilities", answers, labels)


def several_inputs(folder: Path) -> ForeignModel:
    """A .keras of Keras 3 with a number, a text and two outputs, of which `kind` is the classes."""
    import keras

    keras.utils.set_random_seed(8)
    age = keras.Input((1,), name="age")
    city = keras.Input((1,), name="city", dtype="string")
    where = keras.layers.StringLookup(vocabulary=["Bern", "Rome"], output_mode="one_hot")(city)
    both = keras.layers.Concatenate()([age, where])
    model = keras.Model(
        [age, city],
        {
            "kind": keras.layers.Dense(2, activation="softmax", name="kind")(both),
            "weight": keras.layers.Dense(1, name="weight")(both),
        },
    )
    path = folder / "two.keras"
    model.save(path)
    random = np.random.default_rng(9)
    ages = random.normal(size=(ROWS, 1)).astype(np.float32)
    cities = np.array([b"Bern", b"Rome", b"Oslo"], object)[random.integers(3, size=(ROWS, 1))]
    answers = np.asarray(model([tf.constant(ages), tf.constant(cities)], training=False)["kind"])
    labels = _labels(answers)
    with open(folder / "two.csv", "w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["city", "id", "age", "label"])
        for row in range(ROWS):
            rows.writerow([cities[row, 0].decode(), row, repr(float(ages[row, 0])), labels[row]])
    return ForeignModel(path, folder / "two.csv", {"age": ages, "city": cities}, "kind", answers, labels)


KINDS: dict[str, Callable[[Path], ForeignModel]] = {
    "old": old_h5,
    "keras3": keras_3,
    "keras2": keras_2,
    "tf1": tensorflow_1,
    "jax": jax_function,
    "several": several_inputs,
}


def _table() -> NDArray[Any]:
    return np.round(np.random.default_rng(10).normal(size=(ROWS, 4)), 3).astype(np.float32)


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _labels(probabilities: NDArray[Any]) -> NDArray[Any]:
    """What the model says in three rows of four, the next class in the fourth."""
    predicted = probabilities.argmax(axis=1)
    wrong = np.arange(len(predicted)) % 4 == 3
    return np.where(wrong, (predicted + 1) % probabilities.shape[1], predicted).astype(np.int64)


def _write_csv(path: Path, values: NDArray[Any], labels: list[str]) -> None:
    with open(path, "w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["a", "b", "c", "d", "kind"])
        rows.writerows(
            [*(f"{value:.3f}" for value in row), label] for row, label in zip(values, labels, strict=True)
        )
