"""Exporting a classifier as a SavedModel with named signatures (docs/contracts.md, section 1)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from atelier_trainer.publishing.signature_names import placeholder, set_method, set_names
from atelier_trainer.training.data_spec import Spec
from atelier_trainer.training.encoding import Encoding

# tensorflow_serving/servables/tensorflow/classifier.cc accepts a signature of this method name, with the input key
# "inputs" and the output keys "classes" and "scores" (tensorflow/python/saved_model/signature_constants.py).
CLASSIFY_METHOD = "tensorflow/serving/classify"


class ServedClassifier(tf.Module):
    """The graph that is served: encoding, network and class names, behind named signatures."""

    def __init__(self, model: keras.Model, encoding: Encoding, spec: Spec) -> None:
        super().__init__()
        self._model = model
        self._encoding = encoding
        self._spec = spec
        # The weights are listed here, so that the export finds them without Keras's help.
        self.weights = [weight.value for weight in model.weights]

    def signatures(self) -> dict[str, Any]:
        """The signature functions by name. Inputs for single columns have the names that `placeholder` gives."""
        if self._spec.features:
            return self._signatures_by_column()
        raw, feature = self._raw_input()
        name = self._spec.input_name

        def serving_default(value: Any) -> dict[str, Any]:
            return self._answer(self._encoded(value))

        def classify(inputs: Any) -> dict[str, Any]:
            value = tf.io.parse_example(inputs, {name: feature})[name]
            shape = [-1, *self._spec.shape]
            raw_value = value if self._spec.kind == "text" else tf.reshape(tf.cast(value, raw.dtype), shape)
            scores = self._probabilities(self._encoded(raw_value))
            classes = tf.tile(tf.constant([self._spec.class_names]), [tf.shape(scores)[0], 1])
            return {"classes": classes, "scores": scores}

        examples = tf.TensorSpec([None], tf.string, name="inputs")
        signatures = {"serving_default": _named(serving_default, raw), "classify": _named(classify, examples)}
        if self._spec.kind == "image":
            pixels = tf.TensorSpec([None, math.prod(self._spec.shape)], tf.float32, name="pixels")
            signatures["scaled"] = _named(self._answer, pixels)
        return signatures

    def _signatures_by_column(self) -> dict[str, Any]:
        columns = self._spec.features
        types = {"number": (tf.float32, float("nan")), "category": (tf.string, "")}

        def serving_default(**inputs: Any) -> dict[str, Any]:
            return self._answer(
                self._encoded({column.name: inputs[placeholder(n)] for n, column in enumerate(columns)})
            )

        def classify(inputs: Any) -> dict[str, Any]:
            features = {
                column.name: tf.io.FixedLenFeature([], types[column.kind][0], types[column.kind][1])
                for column in columns
            }
            scores = self._probabilities(self._encoded(tf.io.parse_example(inputs, features)))
            classes = tf.tile(tf.constant([self._spec.class_names]), [tf.shape(scores)[0], 1])
            return {"classes": classes, "scores": scores}

        specs = {
            placeholder(n): tf.TensorSpec([None], types[column.kind][0], name=placeholder(n))
            for n, column in enumerate(columns)
        }
        return {
            "serving_default": tf.function(serving_default, autograph=False).get_concrete_function(**specs),
            "classify": _named(classify, tf.TensorSpec([None], tf.string, name="inputs")),
        }

    def _raw_input(self) -> tuple[tf.TensorSpec, Any]:
        """The raw input, and how a tf.Example carries it."""
        name = self._spec.input_name
        shape = self._spec.shape
        if self._spec.kind == "text":
            return tf.TensorSpec([None], tf.string, name=name), tf.io.FixedLenFeature([], tf.string)
        values = math.prod(shape)
        if self._spec.kind == "image":
            return tf.TensorSpec([None, *shape], tf.uint8, name=name), tf.io.FixedLenFeature(
                [values], tf.int64
            )
        return tf.TensorSpec([None, *shape], tf.float32, name=name), tf.io.FixedLenFeature(
            [values], tf.float32
        )

    def _encoded(self, raw: Any) -> Any:
        return self._encoding.features(self._encoding.stored(raw))

    def _probabilities(self, features: Any) -> Any:
        answer = self._model(features, training=False)
        # One sigmoid is the probability of class 1; what is served has a column for each class.
        return tf.concat([1.0 - answer, answer], axis=1) if len(self._spec.class_names) == 2 else answer

    def _answer(self, features: Any) -> dict[str, Any]:
        probabilities = self._probabilities(features)
        class_id = tf.argmax(probabilities, axis=-1, output_type=tf.int64)
        label = tf.gather(tf.constant(self._spec.class_names), class_id)
        return {"probabilities": probabilities, "class_id": class_id, "label": label}


def export(model: keras.Model, encoding: Encoding, spec: Spec, folder: Path) -> None:
    """Write the SavedModel (saved_model.pb, variables/, assets/) into `folder`."""
    served = ServedClassifier(model, encoding, spec)
    tf.saved_model.save(served, str(folder), signatures=served.signatures())
    path = folder / "saved_model.pb"
    set_method(path, "classify", CLASSIFY_METHOD)
    set_names(
        path, "serving_default", {placeholder(n): column.name for n, column in enumerate(spec.features)}
    )
    (folder / "assets").mkdir(exist_ok=True)


def _named(function: Any, spec: tf.TensorSpec) -> Any:
    """The function as a signature whose one input has the spec's name."""
    # The function has no Python control flow that autograph would have to translate. Without it this takes 0.2 s less.
    return tf.function(function, input_signature=[spec], autograph=False).get_concrete_function()
