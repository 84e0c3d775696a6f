"""The learning rate over a run: the shapes docs/trainer.md states, by schedules that plain Keras knows."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from atelier_trainer.job import Optimizer
from atelier_trainer.training.network import STAIRS, optimizer

STEPS = 1000
PEAK = 0.02
# What is left of the peak after a share of the fall.
SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda share: 1.0,
    "cosine": lambda share: (1 + math.cos(math.pi * share)) / 2,
    "linear": lambda share: 1 - share,
    "exponential": lambda share: 0.1**share,
    "inverse_time": lambda share: 1 / (1 + 9 * share),
}


def rates(schedule: str, warmup: float, steps: int = STEPS) -> np.ndarray:
    """The rate of each update, float [steps]."""
    settings = Optimizer.model_validate({"learning_rate": PEAK, "schedule": schedule, "warmup": warmup})
    made = optimizer(settings, steps)
    if isinstance(made._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        # As a graph: a staircase is hundreds of operations an update.
        at = tf.function(
            lambda: tf.map_fn(made._learning_rate, tf.range(steps), fn_output_signature=tf.float32)
        )
        return np.asarray(at().numpy())
    return np.full(steps, float(made.learning_rate))


@pytest.mark.parametrize("schedule", SHAPES)
@pytest.mark.parametrize("warmup", [0.0, 0.2])
def test_the_rate_rises_to_its_peak_and_falls_in_its_shape(schedule: str, warmup: float) -> None:
    rising = round(STEPS * warmup)
    expected = [
        PEAK * (step + 1) / rising
        if step < rising
        else PEAK * SHAPES[schedule]((step - rising) / (STEPS - rising))
        for step in range(STEPS)
    ]
    # A level of a staircase spans STEPS / STAIRS updates; the steepest part is the rise.
    tolerance = PEAK / max(rising, 1) * STEPS / STAIRS if warmup else PEAK * 1e-4
    np.testing.assert_allclose(rates(schedule, warmup), expected, atol=tolerance)


@pytest.mark.parametrize("schedule", SHAPES)
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_the_shortest_runs_have_a_rate_above_zero_from_the_first_update(schedule: str, steps: int) -> None:
    found = rates(schedule, 0.5, steps)
    assert np.isfinite(found).all()
    assert 0 < found[0] <= PEAK * (1 + 1e-6)


@pytest.mark.parametrize("schedule", SHAPES)
def test_a_schedule_is_one_of_keras_s_own(schedule: str) -> None:
    settings = Optimizer.model_validate({"schedule": schedule, "warmup": 0.2})
    config = keras.saving.serialize_keras_object(optimizer(settings, STEPS))
    rate = config["config"]["learning_rate"]
    assert isinstance(rate, float) or (rate["module"].startswith("keras.") and not rate["registered_name"])
