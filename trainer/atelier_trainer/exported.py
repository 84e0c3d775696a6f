"""An exported version, loaded back and evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from atelier_trainer.dataset import Split
from atelier_trainer.errors import AtelierTrainerError

EVALUATION_BATCH = 1000
# Keras clips probabilities so before it takes the logarithm (keras.config.epsilon()).
EPSILON = 1e-7


class ExportedModel:
    """A SavedModel directory, loaded back: what is checked is what was written."""

    def __init__(self, folder: Path) -> None:
        try:
            self._loaded = tf.saved_model.load(str(folder))
        except (OSError, tf.errors.OpError) as error:
            raise AtelierTrainerError(f"{folder} does not hold a SavedModel that loads: {error}") from None

    def predict(
        self, inputs: Mapping[str, np.ndarray], signature: str = "serving_default"
    ) -> dict[str, np.ndarray]:
        """Run one signature: named arrays in, named arrays out."""
        outputs = self._loaded.signatures[signature](
            **{name: tf.constant(value) for name, value in inputs.items()}
        )
        return {name: np.asarray(value.numpy()) for name, value in outputs.items()}

    def evaluate(self, data: Split) -> dict[str, float | int]:
        """Accuracy and loss (mean negative log likelihood, natural logarithm) of `serving_default` on a split."""
        correct, loss = 0, 0.0
        for start in range(0, len(data.labels), EVALUATION_BATCH):
            rows = slice(start, start + EVALUATION_BATCH)
            labels = data.labels[rows].astype(np.int64)
            probabilities = self.predict({"images": data.images[rows]})["probabilities"]
            correct += int((probabilities.argmax(axis=1) == labels).sum())
            chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
            loss -= float(np.log(np.clip(chosen, EPSILON, 1 - EPSILON)).sum())
        examples = len(data.labels)
        return {"accuracy": correct / examples, "loss": loss / examples, "examples": examples}
