"""Images that are streamed are mirrored as those in memory are: `fit.flip` is passed over for neither."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from atelier_trainer.training.encoding import ImageEncoding
from atelier_trainer.training.feed import TrainingFeed
from numpy.typing import NDArray

COUNT, HEIGHT, WIDTH = 60, 6, 5
IMAGES = np.random.default_rng(0).integers(0, 256, [COUNT, HEIGHT, WIDTH]).astype(np.float32)


class Shards:
    """A stream of the images, in order."""

    sha256, counts, mean, variance = "", np.array([COUNT]), np.zeros(30), np.ones(30)

    def __len__(self) -> int:
        return COUNT

    def batches(self, batch_size: int, seed: object) -> tf.data.Dataset:
        rows = IMAGES.reshape(COUNT, -1)
        return tf.data.Dataset.from_tensor_slices((rows, np.zeros(COUNT, np.int64))).batch(batch_size)


def seen(flip: tuple[int, ...]) -> NDArray[Any]:
    feed = TrainingFeed(Shards(), ImageEncoding((HEIGHT, WIDTH)), 25, 7, flip=flip)
    rows = np.concatenate([features.numpy() for features, _ in feed.dataset()])
    return rows.reshape(IMAGES.shape) * 255


def test_about_half_of_them_are_mirrored() -> None:
    np.testing.assert_allclose(seen(()), IMAGES, rtol=1e-5)
    flipped = seen((HEIGHT, WIDTH))
    same = np.isclose(flipped, IMAGES).all(axis=(1, 2))
    mirrored = np.isclose(flipped, IMAGES[:, :, ::-1]).all(axis=(1, 2))
    assert (same | mirrored).all()
    assert 15 < mirrored.sum() < 45
