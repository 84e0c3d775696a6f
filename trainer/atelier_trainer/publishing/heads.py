"""What a served graph makes of the network's output: named outputs, and the API for tf.Example of its task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import tensorflow as tf

from atelier_trainer.training.data_spec import Spec

# tensorflow_serving/servables/tensorflow/classifier.cc and regressor.cc accept signatures of these method names, with
# the input key "inputs" and the output keys "classes" and "scores", or "outputs"
# (tensorflow/python/saved_model/signature_constants.py).
CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"


class Head(Protocol):
    """`signature` is the name of the one for tf.Example, `method` its method name."""

    signature: str
    method: str

    def answer(self, output: Any) -> dict[str, Any]:
        """The outputs of `serving_default` for the network's output."""

    def example_answer(self, output: Any) -> dict[str, Any]:
        """The outputs of the signature for tf.Example."""


class ClassifierHead:
    """Probabilities [N,classes], the number and the name of the most probable class."""

    signature = "classify"
    method = CLASSIFY_METHOD

    def __init__(self, class_names: Sequence[str]) -> None:
        self._names = list(class_names)

    def answer(self, output: Any) -> dict[str, Any]:
        """See `Head`; `output` is softmax [N,classes] or sigmoid [N,1]."""
        probabilities = self._probabilities(output)
        class_id = tf.argmax(probabilities, axis=-1, output_type=tf.int64)
        label = tf.gather(tf.constant(self._names), class_id)
        return {"probabilities": probabilities, "class_id": class_id, "label": label}

    def example_answer(self, output: Any) -> dict[str, Any]:
        """See `Head`."""
        scores = self._probabilities(output)
        classes = tf.tile(tf.constant([self._names]), [tf.shape(scores)[0], 1])
        return {"classes": classes, "scores": scores}

    def _probabilities(self, output: Any) -> Any:
        # One sigmoid is the probability of class 1; what is served has a column for each class.
        return tf.concat([1.0 - output, output], axis=1) if len(self._names) == 2 else output


class RegressorHead:
    """The number itself, [N], in the label's unit."""

    signature = "regress"
    method = REGRESS_METHOD

    def answer(self, output: Any) -> dict[str, Any]:
        """See `Head`; `output` is [N,1]."""
        return {"prediction": tf.squeeze(output, axis=1)}

    def example_answer(self, output: Any) -> dict[str, Any]:
        """See `Head`."""
        return {"outputs": tf.squeeze(output, axis=1)}


def head_of(spec: Spec) -> Head:
    """The head of the task."""
    return RegressorHead() if spec.task == "regression" else ClassifierHead(spec.class_names)
