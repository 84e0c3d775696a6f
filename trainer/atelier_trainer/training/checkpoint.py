"""The state after an epoch, on disk in one step: weights, optimizer, random seeds, and the number of epochs done."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf

from atelier_trainer.errors import RunError


class Checkpoints:
    """`checkpoints/` (the last epoch) and `best/` (the best one) of a run.

    tf.train.CheckpointManager writes a checkpoint beside the one before and then replaces the small file that names it:
    a killed process leaves the older or the newer checkpoint, never half of one.
    """

    def __init__(self, folder: Path, model: keras.Model) -> None:
        model.optimizer.build(model.trainable_variables)
        self.epochs = tf.Variable(0, dtype=tf.int64)
        # tf.train.Checkpoint(model) would not find the seeds that layers such as Dropout keep among their variables.
        # So all variables are listed.
        variables = [item.value for item in (*model.variables, *model.optimizer.variables)]
        checkpoint = tf.train.Checkpoint(variables=variables, epochs=self.epochs)
        self._last = tf.train.CheckpointManager(checkpoint, str(folder / "checkpoints"), max_to_keep=1)
        self._best = tf.train.CheckpointManager(checkpoint, str(folder / "best"), max_to_keep=1)

    def save(self, epochs: int) -> None:
        """Keep the state after that many epochs."""
        self.epochs.assign(epochs)
        self._last.save(epochs)

    def save_best(self, epochs: int) -> None:
        """Keep the state of the best epoch."""
        self.epochs.assign(epochs)
        self._best.save(epochs)

    def restore(self) -> int:
        """Go back to the last epoch; return the number of epochs done, 0 when there is no checkpoint."""
        return self._restore(self._last)

    def restore_best(self) -> int:
        """Go back to the best epoch; return its number, 0 when none was kept."""
        return self._restore(self._best)

    def best_epoch(self) -> int:
        """The epoch `best/` holds, 0 when it holds none."""
        path = self._best.latest_checkpoint
        return int(path.rsplit("-", 1)[1]) if path else 0

    def _restore(self, manager: tf.train.CheckpointManager) -> int:
        path = manager.latest_checkpoint
        if not path:
            return 0
        try:
            manager.checkpoint.restore(path).assert_consumed()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise RunError(f"The checkpoint {path} does not fit the job: {error}") from None
        return int(self.epochs.numpy())
