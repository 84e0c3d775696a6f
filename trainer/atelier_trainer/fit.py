"""Fitting: batches gathered on the fly from the uint8 images, one line an epoch."""

from __future__ import annotations

import math
import sys
import time

import keras
import tensorflow as tf

from atelier_trainer.dataset import Split
from atelier_trainer.job import Job
from atelier_trainer.network import PIXELS, build, optimizer

# Batches per call into the runtime. Measured on two cores, batch 128, seconds an epoch in two rounds: 1.6 and 1.6 at 1,
# 1.1 and 1.2 at 16, 1.0 and 1.2 at 64, 1.3 and 1.0 at 469 (the whole epoch).
STEPS_PER_EXECUTION = 64


def train(job: Job, data: Split) -> keras.Model:
    """Train the job's model on images uint8 [N,28,28] and labels uint8 [N]; progress on stderr."""
    steps = math.ceil(len(data.labels) / job.fit.batch_size)
    model = build(job)
    model.compile(
        optimizer=optimizer(job.optimizer, steps * job.fit.epochs),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=min(STEPS_PER_EXECUTION, steps),
        # Measured over the twelve epochs: 12.9 and 11.5 s without, 13.5 and 12.7 s with XLA. Compiling does not pay.
        jit_compile=False,
    )
    model.fit(
        batches(job, data),
        epochs=job.fit.epochs,
        shuffle=False,
        verbose=0,
        callbacks=[EpochLine(job.fit.epochs)],
    )
    return model


def batches(job: Job, data: Split) -> tf.data.Dataset:
    """Shuffled batches (pixels float32 [B,784] in [0,1], labels int32 [B]), in another order each epoch.

    Only the example numbers are shuffled; the images stay uint8 in memory (47 MB) and are scaled batch by batch.
    """
    images = tf.constant(data.images.reshape(-1, PIXELS))
    labels = tf.constant(data.labels.astype("int32"))
    order = tf.data.Dataset.range(len(data.labels)).shuffle(len(data.labels), seed=job.fit.seed)

    def gather(chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.cast(tf.gather(images, chosen), tf.float32) / 255.0, tf.gather(labels, chosen)

    return (
        order.batch(job.fit.batch_size)
        .map(gather, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


class EpochLine(keras.callbacks.Callback):
    """One line on stderr after each epoch."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.epochs, self.started = epochs, 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        values = "  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        seconds = time.monotonic() - self.started
        print(f"epoch {epoch + 1:>2}/{self.epochs}  {values}  {seconds:.1f} s", file=sys.stderr, flush=True)
