"""Exporting a classifier as a SavedModel with named signatures (docs/contracts.md, section 1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from atelier_trainer.network import PIXELS

# tensorflow_serving/servables/tensorflow/classifier.cc accepts a signature of this method name, with the input key
# "inputs" and the output keys "classes" and "scores" (tensorflow/python/saved_model/signature_constants.py).
CLASSIFY_METHOD = "tensorflow/serving/classify"


class ServedClassifier(tf.Module):
    """The graph that is served: scaling, the network, and the class names, behind three signatures."""

    def __init__(self, model: keras.Model, class_names: Sequence[str]) -> None:
        super().__init__()
        self._model = model
        # Listed here so that the export finds the weights, whatever it makes of the Keras object.
        self.weights = [weight.value for weight in model.weights]
        self._class_names = tuple(class_names)

    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28], tf.uint8, name="images")])
    def serving_default(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Raw images uint8 [N,28,28]."""
        pixels = tf.cast(tf.reshape(images, [-1, PIXELS]), tf.float32) / 255.0
        return self._answer(pixels)

    @tf.function(input_signature=[tf.TensorSpec([None, PIXELS], tf.float32, name="pixels")])
    def scaled(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        """The tutorial's form: float32 [N,784] in [0,1]."""
        return self._answer(pixels)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialized tf.Example [N], each with the int64 feature `images` of 784 values from 0 to 255."""
        features = tf.io.parse_example(inputs, {"images": tf.io.FixedLenFeature([PIXELS], tf.int64)})
        scores = self._model(tf.cast(features["images"], tf.float32) / 255.0, training=False)
        classes = tf.tile(tf.constant([self._class_names]), [tf.shape(scores)[0], 1])
        return {"classes": classes, "scores": scores}

    def _answer(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = self._model(pixels, training=False)
        class_id = tf.argmax(probabilities, axis=-1, output_type=tf.int64)
        label = tf.gather(tf.constant(self._class_names), class_id)
        return {"probabilities": probabilities, "class_id": class_id, "label": label}


def export(model: keras.Model, class_names: Sequence[str], folder: Path) -> None:
    """Write the SavedModel (saved_model.pb, variables/, assets/) into `folder`."""
    served = ServedClassifier(model, class_names)
    signatures = {name: getattr(served, name) for name in ("serving_default", "scaled", "classify")}
    tf.saved_model.save(served, str(folder), signatures=signatures)
    _set_method_name(folder / "saved_model.pb", "classify", CLASSIFY_METHOD)
    (folder / "assets").mkdir(exist_ok=True)


def _set_method_name(path: Path, signature: str, method: str) -> None:
    """tf.saved_model.save gives every signature the predict method; the Classify API wants its own."""
    document = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    document.meta_graphs[0].signature_def[signature].method_name = method
    path.write_bytes(document.SerializeToString())
