"""Exporting a model as a SavedModel with named signatures (docs/contracts.md, section 1)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from atelier_trainer.publishing.heads import head_of
from atelier_trainer.publishing.signature_names import placeholder, set_method, set_names
from atelier_trainer.training.data_spec import Spec
from atelier_trainer.training.encoding import Encoding


class ServedModel(tf.Module):
    """The graph that is served: encoding, network and head, behind named signatures."""

    def __init__(self, model: keras.Model, encoding: Encoding, spec: Spec) -> None:
        super().__init__()
        self._model = model
        self._encoding = encoding
        self._spec = spec
        self._head = head_of(spec)
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

        def of_examples(inputs: Any) -> dict[str, Any]:
            value = tf.io.parse_example(inputs, {name: feature})[name]
            shape = [-1, *self._spec.shape]
            raw_value = value if self._spec.kind == "text" else tf.reshape(tf.cast(value, raw.dtype), shape)
            return self._head.example_answer(self._output(self._encoded(raw_value)))

        examples = tf.TensorSpec([None], tf.string, name="inputs")
        signatures = {
            "serving_default": _named(serving_default, raw),
            self._head.signature: _named(of_examples, examples),
        }
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

        def of_examples(inputs: Any) -> dict[str, Any]:
            features = {
                column.name: tf.io.FixedLenFeature([], types[column.kind][0], types[column.kind][1])
                for column in columns
            }
            return self._head.example_answer(
                self._output(self._encoded(tf.io.parse_example(inputs, features)))
            )

        specs = {
            placeholder(n): tf.TensorSpec([None], types[column.kind][0], name=placeholder(n))
            for n, column in enumerate(columns)
        }
        return {
            "serving_default": tf.function(serving_default, autograph=False).get_concrete_function(**specs),
            self._head.signature: _named(of_examples, tf.TensorSpec([None], tf.string, name="inputs")),
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

    def _output(self, features: Any) -> Any:
        return self._model(features, training=False)

    def _answer(self, features: Any) -> dict[str, Any]:
        return self._head.answer(self._output(features))


def export(model: keras.Model, encoding: Encoding, spec: Spec, folder: Path) -> None:
    """Write the SavedModel (saved_model.pb, variables/, assets/) into `folder`."""
    served = ServedModel(model, encoding, spec)
    tf.saved_model.save(served, str(folder), signatures=served.signatures())
    path = folder / "saved_model.pb"
    head = head_of(spec)
    set_method(path, head.signature, head.method)
    set_names(
        path, "serving_default", {placeholder(n): column.name for n, column in enumerate(spec.features)}
    )
    (folder / "assets").mkdir(exist_ok=True)


def _named(function: Any, spec: tf.TensorSpec) -> Any:
    """The function as a signature whose one input has the spec's name."""
    # The function has no Python control flow that autograph would have to translate. Without it this takes 0.2 s less.
    return tf.function(function, input_signature=[spec], autograph=False).get_concrete_function()
