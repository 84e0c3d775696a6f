"""What can be read off texts (docs/contracts.md, reference.json: the client follows the same rule)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from atelier_trainer.training.encoding import split_words

_AT_ONCE = 5000


def features_of(texts: np.ndarray, vocabulary: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Of UTF-8 texts [N]: how many words each has, and which share of them the vocabulary does not (0 without words),
    float64 [N] both. The words are those that the network gets.
    """
    known = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant(list(vocabulary)), tf.ones([len(vocabulary)], tf.int64)
        ),
        0,
    )
    lengths, shares = [], []
    for start in range(0, len(texts), _AT_ONCE):
        words = split_words(tf.constant(list(texts[start : start + _AT_ONCE])))
        found = tf.reduce_sum(tf.ragged.map_flat_values(known.lookup, words), axis=1).numpy()
        count = words.row_lengths().numpy()
        lengths.append(count.astype(np.float64))
        shares.append((count - found) / np.maximum(count, 1))
    return np.concatenate(lengths), np.concatenate(shares)
