"""From raw inputs to what the network takes, as TensorFlow ops: the same in training and in the served graph.

An encoding works in two steps, so that training does the first once and the second batch by batch: `stored` turns raw
inputs into a compact form, `features` turns rows of that form into the network's input.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from atelier_trainer.data.columns import Column
from atelier_trainer.data.dataset import most_common_first
from atelier_trainer.errors import DataInvalid
from atelier_trainer.job import Network
from atelier_trainer.training.data_spec import Spec

# Word number 0 pads short texts, 1 stands for every word outside the vocabulary, the vocabulary begins at 2.
PADDING = 0
UNKNOWN = 1
FIRST_WORD = 2
# What separates words: HTML line breaks, then all ASCII but letters, digits and apostrophes.
_BREAKS = r"<br\s*/?>"
_SEPARATORS = r"[\x00-\x26\x28-\x2f\x3a-\x60\x7b-\x7f]+"
_TOKENIZED_AT_ONCE = 5000


class Encoding(Protocol):
    """The two steps that the module's docstring describes."""

    width: int
    """Values of one example in the network's input."""

    def stored(self, inputs: Any) -> Any: ...

    def features(self, stored: Any) -> Any: ...


class ImageEncoding:
    """uint8 [N,...] to pixels uint8 [N,width]; features are those, scaled to float32 in [0,1]."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.width = math.prod(shape)

    def stored(self, inputs: Any) -> Any:
        return tf.reshape(inputs, [-1, self.width])

    def features(self, stored: Any) -> Any:
        return tf.cast(stored, tf.float32) / 255.0


class TableEncoding:
    """float32 [N,width], unchanged: the network's first layer normalizes the columns."""

    def __init__(self, columns: int) -> None:
        self.width = columns

    def stored(self, inputs: Any) -> Any:
        return inputs

    def features(self, stored: Any) -> Any:
        return stored


class ColumnsEncoding(tf.Module):
    """One tensor [N] for each column to float32 [N,columns]; features are float32 [N,width].

    Stored is a number as it is (NaN is missing), and a category as its index among those of training, -1 when training
    never saw it. The features of a number are its value, or training's mean where it is missing; if training had
    missing values, a second one is 1 where it is missing. The features of a category are a one-hot vector, all zero
    when training never saw it. The categories are constants of the exported graph, which has only TensorFlow's standard
    ops, so that TensorFlow Serving can run it.
    """

    def __init__(self, columns: Sequence[Column], mean: Sequence[float]) -> None:
        """`mean` [width] holds at each number's place its mean in training."""
        super().__init__()
        self.columns = tuple(columns)
        self.width = sum(column.width for column in columns)
        self._means = []
        place = 0
        for column in columns:
            self._means.append(mean[place] if column.kind == "number" else 0.0)
            place += column.width
        self._tables = {
            str(number): tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(
                    tf.constant(list(column.indices()), tf.string),
                    tf.constant(list(column.indices().values()), tf.int64),
                ),
                -1,
            )
            for number, column in enumerate(columns)
            if column.kind == "category"
        }

    def stored(self, inputs: Any) -> Any:
        parts = []
        for number, column in enumerate(self.columns):
            value = inputs[column.name]
            if column.kind == "category":
                value = tf.cast(self._tables[str(number)].lookup(tf.strings.strip(value)), tf.float32)
            parts.append(value)
        return tf.stack(parts, axis=1)

    def features(self, stored: Any) -> Any:
        parts = []
        for number, column in enumerate(self.columns):
            value = stored[:, number]
            if column.kind == "category":
                parts.append(tf.one_hot(tf.cast(value, tf.int32), column.width))
                continue
            gap = tf.math.is_nan(value)
            parts.append(tf.where(gap, self._means[number], value)[:, None])
            if column.missing:
                parts.append(tf.cast(gap, tf.float32)[:, None])
        return tf.ensure_shape(tf.concat(parts, axis=1), [None, self.width])


class TextEncoding(tf.Module):
    """UTF-8 text [N] to word numbers int32 ragged [N,words]; features are a multi-hot vector or padded numbers.

    The words are constants of the exported graph, which has only TensorFlow's standard ops, so that TensorFlow Serving
    can run it.
    """

    def __init__(self, words: Sequence[bytes], length: int | None) -> None:
        """`length` None: multi-hot float32 [N,len(words)+2]; else the last `length` word numbers int32 [N,length]."""
        super().__init__()
        self.words = tuple(words)
        self._length = length
        self.width = length or len(self.words) + FIRST_WORD
        self._table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(self.words), tf.range(FIRST_WORD, len(self.words) + FIRST_WORD)
            ),
            default_value=UNKNOWN,
        )

    def stored(self, inputs: Any) -> Any:
        return tf.ragged.map_flat_values(self._table.lookup, split_words(inputs))

    def features(self, stored: Any) -> Any:
        if self._length is not None:
            # A long text loses its beginning, as in Keras's pad_sequences: the end of a review has the verdict.
            return stored[:, -self._length :].to_tensor(PADDING, shape=[None, self._length])
        counts = tf.math.bincount(
            stored, minlength=self.width, maxlength=self.width, binary_output=True, axis=-1, dtype=tf.float32
        )
        return tf.ensure_shape(counts, [None, self.width])


def split_words(text: Any) -> Any:
    """Lower-case words of UTF-8 text [N], ragged strings [N,words]."""
    plain = tf.strings.regex_replace(tf.strings.lower(text, encoding="utf-8"), _BREAKS, " ")
    return tf.strings.split(tf.strings.regex_replace(plain, _SEPARATORS, " "))


def vocabulary_of(texts: np.ndarray, size: int) -> list[bytes]:
    """The most frequent words of the texts, most frequent first. Raises `DataInvalid` when there are none.

    The two special numbers are part of the size, as in Keras's imdb.load_data(num_words=..).
    """
    found: Counter[bytes] = Counter()
    for start in range(0, len(texts), _TOKENIZED_AT_ONCE):
        words = split_words(tf.constant(list(texts[start : start + _TOKENIZED_AT_ONCE])))
        found.update(words.flat_values.numpy())
    if not found:
        raise DataInvalid("The training texts hold no words.")
    return most_common_first(found)[: max(size - FIRST_WORD, 1)]


def encoding_for(spec: Spec, network: Network, words: Sequence[bytes] | None) -> Encoding:
    """The encoding of a kind of data; `words` is the vocabulary of text."""
    if spec.kind == "image":
        return ImageEncoding(spec.shape)
    if spec.features:
        return ColumnsEncoding(spec.features, spec.mean)
    if spec.kind == "table":
        return TableEncoding(spec.shape[0])
    assert words is not None
    return TextEncoding(words, network.length if network.embedding else None)
