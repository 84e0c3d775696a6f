"""Changes of training images at random, new ones in each epoch: mirrored, and moved by a few pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf


@dataclass(frozen=True)
class Augmentation:
    """Images of `shape` [H,W] or [H,W,C]; with `flip` half of them are mirrored left to right.

    With `shift` each moves by -shift..shift pixels, down and to the right independently; what comes in is zeros.
    """

    shape: tuple[int, ...]
    flip: bool
    shift: int

    def __call__(self, rows: Any, seed: Any) -> Any:
        """Rows [B,H*W*C] to rows of the same shape and dtype. Equal seeds (int64 [2]) give equal rows."""
        images = tf.reshape(rows, [-1, *self.shape])
        if self.flip:
            images = self._flipped(images, seed)
        if self.shift:
            images = self._shifted(images, seed)
        return tf.reshape(images, tf.shape(rows))

    def _flipped(self, images: Any, seed: Any) -> Any:
        chosen = tf.random.stateless_uniform([tf.shape(images)[0]] + [1] * len(self.shape), seed) < 0.5
        return tf.where(chosen, tf.reverse(images, [2]), images)

    def _shifted(self, images: Any, seed: Any) -> Any:
        borders = [[0, 0], *[[self.shift, self.shift]] * 2, *[[0, 0]] * (len(self.shape) - 2)]
        # A seed of its own: mirrored images would else move in one direction more than in the other.
        starts = tf.random.stateless_uniform(
            [2, tf.shape(images)[0]], tf.add(seed, [0, 2**32]), 0, 2 * self.shift + 1, tf.int32
        )
        padded = tf.pad(images, borders)
        for axis, start in zip((1, 2), tf.unstack(starts), strict=True):
            wanted = start[:, None] + tf.range(self.shape[axis - 1])
            padded = tf.gather(padded, wanted, axis=axis, batch_dims=1)
        return padded
