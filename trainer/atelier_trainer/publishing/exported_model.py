"""An exported version, loaded back and evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from atelier_trainer.data.dataset import Examples
from atelier_trainer.errors import AtelierTrainerError
from atelier_trainer.metrics import measure
from atelier_trainer.task import OUTPUTS, Task

EVALUATION_BATCH = 1000


class ExportedModel:
    """A SavedModel directory, loaded back, so that what was written is what is evaluated."""

    def __init__(self, folder: Path) -> None:
        try:
            self._loaded = tf.saved_model.load(str(folder))
        except (OSError, tf.errors.OpError) as error:
            raise AtelierTrainerError(f"{folder} does not hold a SavedModel that loads: {error}") from None

    def predict(
        self, inputs: Mapping[str, np.ndarray], signature: str = "serving_default"
    ) -> dict[str, np.ndarray]:
        """Run one signature: named arrays in, named arrays out."""
        tensors = {
            name: tf.constant(list(value), tf.string, shape=value.shape)
            if value.dtype == object
            else tf.constant(value, shape=value.shape)
            for name, value in inputs.items()
        }
        outputs = self._loaded.signatures[signature](**tensors)
        return {name: np.asarray(value.numpy()) for name, value in outputs.items()}

    @property
    def task(self) -> Task:
        """By its outputs."""
        served = self._loaded.signatures["serving_default"].structured_outputs
        return "regression" if OUTPUTS["regression"] in served else "classification"

    def answers(self, inputs: np.ndarray) -> np.ndarray:
        """Probabilities float32 [N,classes] of `serving_default`, or its prediction float32 [N].

        `inputs` is its one input, or has a field for each input.
        """
        output = OUTPUTS[self.task]
        name = next(iter(self._loaded.signatures["serving_default"].structured_input_signature[1]))
        parts = []
        for start in range(0, len(inputs), EVALUATION_BATCH):
            rows = inputs[start : start + EVALUATION_BATCH]
            named = {field: rows[field] for field in rows.dtype.names} if rows.dtype.names else {name: rows}
            try:
                parts.append(self.predict(named)[output])
            except (tf.errors.InvalidArgumentError, TypeError, ValueError, KeyError) as error:
                reason = (str(error).splitlines() or [""])[0][:200]
                raise AtelierTrainerError(
                    f"The model does not take the examples, which have {', '.join(named)}: the model card or the test "
                    f"file belongs to another model ({reason})."
                ) from None
        return np.concatenate(parts)

    def evaluate(self, examples: Examples) -> dict[str, float | int]:
        """The metrics of `serving_default` on labelled examples (metrics/)."""
        return measure.evaluate(self.task, self.answers(examples.inputs), examples.labels)
