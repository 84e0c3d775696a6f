"""The dense classifier of a job, as a Keras model on flat pixels in [0, 1]."""

from __future__ import annotations

import keras

from atelier_trainer.job import Job, Optimizer

PIXELS = 784
CLASSES = 10


def build(job: Job) -> keras.Model:
    """An untrained model: `pixels` float32 [N,784] to `probabilities` float32 [N,10], weights drawn from the seed."""
    keras.utils.set_random_seed(job.fit.seed)
    pixels = hidden = keras.Input((PIXELS,), name="pixels")
    for units in job.network.hidden:
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
    outputs = keras.layers.Dense(CLASSES, activation="softmax", name="probabilities")(hidden)
    return keras.Model(pixels, outputs, name=job.model)


def optimizer(settings: Optimizer, steps: int) -> keras.optimizers.Optimizer:
    """The job's optimizer for a run of `steps` updates."""
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, decay_steps=steps)
    return keras.optimizers.Adam(rate)
