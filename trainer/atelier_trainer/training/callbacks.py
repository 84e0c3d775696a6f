"""What happens before and after an epoch: the order of the examples, the history, the checkpoint, a line on screen."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from atelier_trainer import interrupt
from atelier_trainer.errors import TrainingFailed
from atelier_trainer.job import EarlyStopping
from atelier_trainer.training.checkpoint import Checkpoints
from atelier_trainer.training.feed import TrainingFeed
from atelier_trainer.training.run import Run


class CheckpointCallback(keras.callbacks.Callback):
    """Writes history and checkpoint after each epoch, and stops early when the job says so.

    The history is written first. On resuming it is cut to the checkpoint's epochs: a kill between the two writes loses
    one epoch. Early stopping decides from the history alone, so a resumed run stops where an uninterrupted one would.
    """

    def __init__(
        self, run: Run, checkpoints: Checkpoints, feed: TrainingFeed, stop: EarlyStopping | None
    ) -> None:
        super().__init__()
        self._run = run
        self._checkpoints = checkpoints
        self._feed = feed
        self._stop = stop
        self.history: list[dict[str, Any]] = []
        self._started = 0.0

    def resume(self) -> int:
        """Restore the last epoch's state; return the number of epochs done."""
        done = self._checkpoints.restore()
        self.history = self._run.history()[:done]
        if self._stop and done and self.best_epoch() == done != self._checkpoints.best_epoch():
            self._checkpoints.save_best(done)
        return done

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        interrupt.check()
        self._started = time.monotonic()
        self._feed.epoch.assign(epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        interrupt.check()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        rate = float(keras.ops.convert_to_tensor(self.model.optimizer.learning_rate).numpy())
        values = {name: float(value) for name, value in (logs or {}).items()}
        if not math.isfinite(values.get("loss", 0.0)):
            raise TrainingFailed(
                f"Epoch {epoch + 1}: the loss is {values['loss']}: the weights have grown without end. A smaller "
                "optimizer.learning_rate, or smaller network.l1 and l2, may keep them finite. Nothing was published."
            )
        seconds = round(time.monotonic() - self._started, 3)
        self.history.append({"epoch": epoch + 1, **values, "learning_rate": rate, "seconds": seconds})
        self._run.write_history(self.history)
        self._checkpoints.save(epoch + 1)
        if self._stop:
            if self.best_epoch() == epoch + 1:
                self._checkpoints.save_best(epoch + 1)
            self.model.stop_training = self.out_of_patience()

    def best_epoch(self) -> int:
        """The first epoch with the best monitored value."""
        assert self._stop is not None
        monitor = self._stop.monitor
        best = max if monitor.endswith("accuracy") else min
        return int(best(self.history, key=lambda row: row[monitor])["epoch"])

    def out_of_patience(self) -> bool:
        """True when the best epoch is `patience` epochs old."""
        return bool(
            self._stop and self.history and len(self.history) - self.best_epoch() >= self._stop.patience
        )


class EpochLine(keras.callbacks.Callback):
    """One line on stderr after each epoch; on a terminal a bar within the epoch."""

    def __init__(self, epochs: int, steps: int) -> None:
        super().__init__()
        self._epochs = epochs
        self._steps = steps
        self._started = 0.0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        terminal = sys.stderr.isatty()
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True) if terminal else None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._started = time.monotonic()
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(f"epoch {epoch + 1:>2}/{self._epochs}", total=self._steps)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._bar:
            self._bar.update(self._task, completed=min(batch + 1, self._steps))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._bar:
            self._bar.remove_task(self._task)
            self._bar.stop()
        values = "  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        seconds = time.monotonic() - self._started
        print(f"epoch {epoch + 1:>2}/{self._epochs}  {values}  {seconds:.1f} s", file=sys.stderr, flush=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._bar:
            self._bar.stop()
