"""The stages of a convolutional network: a number is one convolution, a list is several of one size."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from atelier_trainer.job import Job
from atelier_trainer.training.data_spec import Spec
from atelier_trainer.training.encoding import encoding_for
from atelier_trainer.training.network import build
from pydantic import ValidationError

SPEC = Spec("toy", "image", ("a", "b", "c"), (8, 8), (), (), (), {})
IMAGES = np.random.default_rng(0).random([5, 64]).astype(np.float32)


def network(convolutions: list[Any]) -> keras.Model:
    job = Job.model_validate(
        {
            "name": "toy",
            "model": "toy",
            "data": "fashion-mnist",
            "network": {"convolutions": convolutions},
            "fit": {"batch_size": 8, "epochs": 1},
        }
    )
    return build(job, SPEC, encoding_for(SPEC, job.network, None))


def shapes(model: keras.Model) -> list[tuple[int, ...]]:
    """Of the kernels, and where images get smaller, of what comes out."""
    return [
        tuple(layer.kernel.shape) if isinstance(layer, keras.layers.Conv2D) else layer.output.shape[1:3]
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.MaxPooling2D)
    ]


def test_a_stage_keeps_its_size_until_its_end() -> None:
    assert shapes(network([4, 6])) == [(5, 5, 1, 4), (3, 3, 4, 6), (2, 2)]
    assert shapes(network([4, [6], [8, 8]])) == [
        *((5, 5, 1, 4), (3, 3, 4, 6), (2, 2)),
        *((3, 3, 6, 8), (3, 3, 8, 8), (1, 1)),
    ]
    assert shapes(network([[4, 6], 8])) == [(5, 5, 1, 4), (3, 3, 4, 6), (3, 3, 6, 8), (2, 2)]


def test_convolutions_of_one_width_are_residual() -> None:
    """A second convolution that gives nothing leaves what the first one gave, where both are equally wide."""
    plain, residual, wider = network([4, 6]), network([4, [6, 6]]), network([4, [6, 7]])
    for model in (residual, wider):
        own = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
        known = [layer for layer in plain.layers if isinstance(layer, keras.layers.Conv2D)]
        for layer, same in zip(own, known, strict=False):
            layer.set_weights(same.get_weights())
        own[-1].kernel.assign(np.zeros(own[-1].kernel.shape))
    residual.layers[-1].set_weights(plain.layers[-1].get_weights())
    wanted = np.asarray(plain(IMAGES))
    np.testing.assert_allclose(np.asarray(residual(IMAGES)), wanted, rtol=1e-5)
    # Nothing of the images is left: all rows have one answer.
    assert np.ptp(np.asarray(wider(IMAGES)), axis=0).max() == 0 < np.ptp(wanted, axis=0).max()


@pytest.mark.parametrize("stages", [[[]], [[4, 0]], [[4, [4]]], ["a"], [True]])
def test_a_stage_of_something_else_is_refused(stages: list[Any]) -> None:
    with pytest.raises(ValidationError, match="convolutions"):
        network(stages)
