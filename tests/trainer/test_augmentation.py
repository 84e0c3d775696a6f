"""Images are mirrored and moved at random, also those that are streamed: `fit.flip` and `fit.shift`."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from atelier_trainer.training.augmentation import Augmentation
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


def seen(augmentation: Augmentation | None, epoch: int = 0) -> NDArray[Any]:
    feed = TrainingFeed(Shards(), ImageEncoding((HEIGHT, WIDTH)), 25, 7, augmentation=augmentation)
    feed.epoch.assign(epoch)
    rows = np.concatenate([features.numpy() for features, _ in feed.dataset()])
    return rows.reshape(IMAGES.shape) * 255


def test_about_half_of_them_are_mirrored() -> None:
    np.testing.assert_allclose(seen(None), IMAGES, rtol=1e-5)
    flipped = seen(Augmentation((HEIGHT, WIDTH), flip=True, shift=0))
    same = np.isclose(flipped, IMAGES).all(axis=(1, 2))
    mirrored = np.isclose(flipped, IMAGES[:, :, ::-1]).all(axis=(1, 2))
    assert (same | mirrored).all()
    assert 15 < mirrored.sum() < 45


def moved(image: NDArray[Any], down: int, right: int) -> NDArray[Any]:
    """The image moved, zeros where nothing came in."""
    padded = np.pad(image, 2)
    return padded[2 - down : 2 - down + HEIGHT, 2 - right : 2 - right + WIDTH]


def test_each_is_moved_its_own_way_and_anew_in_each_epoch() -> None:
    ways = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    epochs = []
    for epoch in range(3):
        shifted = seen(Augmentation((HEIGHT, WIDTH), flip=False, shift=2), epoch)
        found = [
            [way for way in ways if np.allclose(moved(before, *way), after, atol=1e-3)]
            for before, after in zip(IMAGES, shifted, strict=True)
        ]
        assert all(len(each) == 1 for each in found)
        epochs.append([each[0] for each in found])
    # 60 draws of 25 leave out two of them on average.
    assert all(len(set(epoch)) > 15 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_channels_move_together_and_equal_seeds_move_equally() -> None:
    images = np.arange(4 * 4 * 5 * 3, dtype=np.uint8).reshape(4, -1) % 250 + 1
    changed = Augmentation((4, 5, 3), flip=True, shift=1)
    first, again = (changed(tf.constant(images), tf.constant([5, 1], tf.int64)).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.uint8
    pixels = {tuple(pixel) for pixel in images.reshape(-1, 3).tolist()} | {(0, 0, 0)}
    assert {tuple(pixel) for pixel in first.reshape(-1, 3).tolist()} <= pixels
