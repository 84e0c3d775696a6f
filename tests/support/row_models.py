"""SavedModels of a line: some whose rows are independent, and many whose rows are not, each in a way of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

WIDTH = 4
_weights = np.random.default_rng(1).normal(size=(WIDTH, 3)).astype(np.float32)


class _Counter(tf.Module):
    """Counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = tf.Variable(0.0)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return x + self.calls.assign_add(1.0)


def _while(x: tf.Tensor) -> tf.Tensor:
    """As many rounds as the largest row asks for."""
    _, y = tf.while_loop(lambda n, y: n < tf.reduce_max(x), lambda n, y: (n + 1.0, y + 1.0), (0.0, x))
    return y


def _conv(x: tf.Tensor) -> tf.Tensor:
    images = tf.reshape(x, [-1, 2, 2, 1])
    hidden = tf.nn.conv2d(images, _weights.reshape(2, 2, 1, 3), 1, "SAME")
    return tf.nn.softmax(tf.reduce_mean(tf.nn.relu(hidden), axis=[1, 2]))


Function = Callable[[tf.Tensor], tf.Tensor]
# Of float32 [N,4] each; every row of the output depends on the same row of the input.
INDEPENDENT: dict[str, Function] = {
    "linear": lambda x: tf.nn.bias_add(tf.matmul(x, _weights), [1.0, 2.0, 3.0]),
    "elementwise": lambda x: tf.where(x > 0, tf.sqrt(tf.abs(x)), x / 3.0 + 1.0),
    "convolution": _conv,
    "columns": lambda x: tf.concat([x[:, 1:], tf.reduce_max(x, axis=-1, keepdims=True)], axis=1),
    "embedding": lambda x: tf.gather(tf.constant(_weights), tf.cast(tf.abs(x), tf.int32) % WIDTH),
    "class": lambda x: tf.gather(tf.constant(["a", "b", "c", "d"]), tf.argmax(x, axis=1)),
    "turned columns": lambda x: tf.transpose(tf.stack([x, -x], axis=2), [0, 2, 1]),
}
DEPENDENT: dict[str, Function] = {
    "mean of the batch": lambda x: x - tf.reduce_mean(x, axis=0),
    "softmax over the rows": lambda x: tf.nn.softmax(x, axis=0),
    "statistics of the batch": lambda x: tf.nn.batch_normalization(x, *tf.nn.moments(x, 0), None, None, 1e-3),
    "sum so far": lambda x: tf.cumsum(x, axis=0),
    "rows turned round": lambda x: tf.reverse(x, [0]),
    "rows moved on": lambda x: tf.roll(x, 1, axis=0),
    "rows in order": lambda x: tf.sort(x, axis=0),
    "every row with every row": lambda x: tf.matmul(x, x, transpose_b=True),
    "number of rows": lambda x: x / tf.cast(tf.shape(x)[0], tf.float32),
    "number of rows as a width": lambda x: x + tf.reduce_sum(tf.ones([tf.shape(x)[0]] * 2), 1, keepdims=True),
    "first row": lambda x: x - x[:1],
    "first row of a call": lambda x: x - x[0],
    "chosen by one row": lambda x: tf.cond(tf.reduce_max(x) > 50.0, lambda: x * 2.0, lambda: x),
    "chosen by any row": lambda x: tf.where(tf.reduce_any(x > 50.0), x * 2.0, x),
    "rounds by the largest row": _while,
    "drawn by lot": lambda x: x + tf.random.uniform([1, WIDTH]),
    "count of calls": _Counter(),
    "no rows": lambda x: tf.reduce_sum(x),
    "one number of all rows": lambda x: tf.reduce_sum(x, keepdims=True),
    "two rows of each": lambda x: tf.repeat(x, 2, axis=0),
    "flat": lambda x: tf.reshape(x, [-1]),
    "different rows": lambda x: tf.unique(tf.reduce_max(x, axis=1)).y,
    "rows of some": lambda x: tf.boolean_mask(x, x[:, 0] > 0),
    "constant": lambda x: tf.constant([[1.0, 2.0]]),
}


def save_rows(models: Path, name: str, function: Function) -> str:
    """Write version 1; return its entry of a ModelServerConfig."""
    module = tf.Module()
    module.kept = function
    signature = tf.function(
        lambda x: {"y": function(x)}, input_signature=[tf.TensorSpec([None, WIDTH], tf.float32, name="x")]
    )
    module.signature = signature
    folder = models / name.replace(" ", "-")
    tf.saved_model.save(module, str(folder / "1"), signatures=signature.get_concrete_function())
    return f'config {{ name: "{name}" base_path: "{folder}" model_platform: "tensorflow" }}'
