"""Batches for fitting: an order of the examples that depends on seed and epoch alone, so that a run can be resumed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from atelier_trainer.data.dataset import Examples, Stream
from atelier_trainer.training.augmentation import Augmentation
from atelier_trainer.training.encoding import Encoding

# The batch size where no gradient is needed.
EVALUATION_BATCH = 1000
# The functions here have no Python control flow that autograph would have to translate. Without it a run takes 0.3 s
# less.
without_autograph = tf.autograph.experimental.do_not_convert


class TrainingFeed:
    """Shuffled batches (features, labels int32 [B,1]) of the epoch that the variable `epoch` names.

    Only the stored form is kept in memory, and indices are shuffled instead of examples: 47 MB for 60,000 images
    instead of 188.
    """

    def __init__(
        self,
        train: Examples | Stream,
        encoding: Encoding,
        batch_size: int,
        seed: int,
        *,
        augmentation: Augmentation | None = None,
    ) -> None:
        """`augmentation` changes the rows of each batch before they are encoded."""
        self.examples = len(train)
        self._batch = batch_size
        self._seed = seed
        self.steps = math.ceil(len(train) / batch_size)
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._train = train
        self._encoding = encoding
        self._augmentation = augmentation
        if isinstance(train, Examples):
            self._stored = stored_examples(train, encoding)
            self._labels = tf.constant(train.labels.astype("int32")[:, None])

    def dataset(self) -> tf.data.Dataset:
        """One epoch; iterating again after `epoch` has changed gives the next."""
        if not isinstance(self._train, Examples) and not self._seed:
            # When the global seed is 0, tf.data compares the shuffle's seed with 0 in Python. Here that seed is a
            # tensor, which cannot be compared.
            tf.random.set_seed(1)
        one = tf.data.Dataset.from_tensors(0)
        batches = one.flat_map(without_autograph(lambda _: self._epoch_batches()))
        # Keras would treat an epoch of unknown length as one that ended too early.
        return batches.apply(tf.data.experimental.assert_cardinality(self.steps)).prefetch(2)

    def _epoch_batches(self) -> tf.data.Dataset:
        seed = self.epoch.read_value() + tf.constant(self._seed, tf.int64) * 1_000_003
        if not isinstance(self._train, Examples):
            stream: Any = self._train.batches(self._batch, seed)
            return stream.enumerate().map(
                lambda step, batch: (
                    self._features(batch[0], seed, step),
                    tf.cast(batch[1][:, None], tf.int32),
                )
            )
        pair = tf.stack([seed, tf.constant(self._seed, tf.int64)])
        order = tf.random.experimental.stateless_shuffle(tf.range(self.examples), pair)

        def gather(step: Any) -> tuple[Any, Any]:
            chosen = order[step * self._batch : (step + 1) * self._batch]
            features = self._features(tf.gather(self._stored, chosen), seed, step)
            return features, tf.gather(self._labels, chosen)

        return tf.data.Dataset.range(self.steps, output_type=tf.int32).map(
            without_autograph(gather), num_parallel_calls=2
        )

    def _features(self, rows: Any, seed: Any, step: Any) -> Any:
        """What the network takes, of stored rows; `seed` is the epoch's."""
        if self._augmentation:
            rows = self._augmentation(rows, tf.stack([seed, tf.cast(step, tf.int64)]))
        return self._encoding.features(rows)


def in_order(examples: Examples, encoding: Encoding) -> tf.data.Dataset:
    """Batches (features, labels int32 [B,1]) in their order, for evaluation."""
    stored = stored_examples(examples, encoding)
    labels = tf.constant(examples.labels.astype("int32")[:, None])
    starts = tf.data.Dataset.range(0, len(examples), EVALUATION_BATCH)

    def batch(start: Any) -> tuple[Any, Any]:
        rows = stored[start : start + EVALUATION_BATCH]
        return encoding.features(rows), labels[start : start + EVALUATION_BATCH]

    return starts.map(without_autograph(batch), num_parallel_calls=2).prefetch(2)


def stored_examples(examples: Examples, encoding: Encoding) -> Any:
    """The stored form of all inputs, a tensor or ragged tensor."""
    inputs = examples.inputs
    if inputs.dtype.names:
        return encoding.stored({name: _tensor(inputs[name]) for name in inputs.dtype.names})
    return encoding.stored(_tensor(inputs))


def _tensor(array: np.ndarray) -> Any:
    return tf.constant(list(array), tf.string) if array.dtype == object else tf.constant(array)
