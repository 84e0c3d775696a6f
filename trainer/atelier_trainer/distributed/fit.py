"""Fitting by several replicas: a loop of `strategy.run`, because Keras 3's own `fit` fails between workers.

Each update takes the same batch of the same order as a training by one process does: a replica computes the gradients
of its share, Keras's optimizer adds them up over all replicas (keras/src/backend/tensorflow/optimizer.py), and each
applies the sum to its copy of the weights. So the copies stay equal. Only the chief reads and writes the run.
"""

from __future__ import annotations

import sys
from typing import Any

import keras
import numpy as np

from atelier_trainer import interrupt
from atelier_trainer.data.dataset import DataSet
from atelier_trainer.distributed.cluster import Cluster
from atelier_trainer.distributed.epoch import Epoch
from atelier_trainer.distributed.group import Group
from atelier_trainer.errors import DataInvalid, TrainingFailed
from atelier_trainer.job import Job
from atelier_trainer.printable import say
from atelier_trainer.training.callbacks import CheckpointCallback, EpochLine
from atelier_trainer.training.checkpoint import Checkpoints
from atelier_trainer.training.feed import TrainingFeed
from atelier_trainer.training.fit import Fitted, Preparation, compiled, restore
from atelier_trainer.training.run import Run

# What the chief tells the others instead of a number of epochs when there is nothing to train.
NOTHING_TO_DO = -1
AGAIN = "Start all workers again: the run goes on after its last whole epoch. Nothing was published."


def fit(job: Job, data_set: DataSet, run: Run, cluster: Cluster | None) -> Fitted:
    """The chief's part: as `training.fit.fit`, with the other workers of the cluster."""
    group = Group.join(cluster, job.fit.strategy)
    with group.explained(AGAIN):
        run.update(workers=len(cluster.workers) if cluster else 1, replicas=group.replicas)
        _Training(job, data_set, group, run).go_on()
    group.leave()
    # A model outside of the strategy: what is exported has nothing of the other workers.
    return restore(run)


def follow(job: Job, data_set: DataSet, cluster: Cluster) -> bool:
    """The part of a worker that is not the chief; False when the chief had nothing to train."""
    group = Group.join(cluster, job.fit.strategy)
    with group.explained(AGAIN):
        trained = _Training(job, data_set, group, None).go_on()
    group.leave()
    return trained


def dismiss(cluster: Cluster) -> None:
    """Tell the other workers that there is nothing to train."""
    group = Group.join(cluster, "multi_worker")
    with group.explained("There was nothing to train."):
        group.told_by_chief(NOTHING_TO_DO)
    group.leave()


class _Training:
    """One process's part of a training; `run` is the chief's."""

    def __init__(self, job: Job, data_set: DataSet, group: Group, run: Run | None) -> None:
        self._job, self._group, self._run, self._data_set = job, group, run, data_set

    def go_on(self) -> bool:
        """Train what is left of the run; False when there is no run to go on with."""
        job, group = self._job, self._group
        if group.told_by_chief(0) == NOTHING_TO_DO:
            say("The chief has nothing to train: this worker ends.")
            return False
        if not group.same(
            f"{job.digest()} {self._data_set.train.sha256} {self._data_set.test.sha256}".encode()
        ):
            raise DataInvalid(
                "The workers differ: each must train the same job on the same data. Expected the chief's job and data "
                "on every worker. Nothing was trained."
            )
        made = Preparation.of(job, self._data_set, self._run)
        feed = made.feed(job, self._data_set)
        if self._run:
            self._run.update(spec=made.spec.to_json(), steps=feed.steps)
        with group.strategy.scope():
            model = compiled(job, made.spec, made.encoding, feed.steps)
            model.optimizer.build(model.trainable_variables)
        epoch = Epoch(job, self._data_set, made, model, feed, group)
        callbacks, record = self._callbacks(model, feed)
        done = group.told_by_chief(record.resume() if record else 0)
        stopped = group.told_by_chief(int(bool(record and record.out_of_patience())))
        self._equalize(model)
        if done and self._run:
            print(f"run {self._run.name}: goes on after epoch {done}", file=sys.stderr, flush=True)
        if done < job.fit.epochs and not stopped:
            callbacks.on_train_begin()
            for number in range(done, job.fit.epochs):
                if not self._one_epoch(epoch, callbacks, number, model):
                    break
            callbacks.on_train_end()
        return True

    def _one_epoch(self, epoch: Epoch, callbacks: Any, number: int, model: keras.Model) -> bool:
        """False when the chief's callbacks end the training."""
        epoch.feed.epoch.assign(number)
        callbacks.on_epoch_begin(number)
        logs = epoch.train(callbacks)
        self._average_statistics(model)
        if self._group.is_chief:
            logs |= epoch.validate()
        callbacks.on_epoch_end(number, logs)
        interrupt.check()
        if not self._group.same(
            b"".join(np.ascontiguousarray(item.numpy()).tobytes() for item in model.variables)
        ):
            raise TrainingFailed(f"Epoch {number + 1}: the workers' weights differ. {AGAIN}")
        return not self._group.told_by_chief(int(bool(model.stop_training)))

    def _average_statistics(self, model: keras.Model) -> None:
        """Give all replicas the mean of what layers such as BatchNormalization gathered from their own shares.

        A moving average is linear in the batches' statistics. So the mean at an epoch's end is the moving average
        of the replicas' mean statistics.
        """
        for variable in model.non_trainable_variables:
            if variable.dtype.startswith("float"):
                own = self._group.strategy.experimental_local_results(variable.value)
                total = self._group.total(sum(np.asarray(copy.numpy()) for copy in own))
                variable.assign((total / self._group.replicas).astype("float32"))

    def _equalize(self, model: keras.Model) -> None:
        """Give all workers the chief's state: the last epoch's, or the first weights."""
        for variable in (*model.variables, *model.optimizer.variables):
            own = np.asarray(variable.numpy())
            chief = self._group.total(own if self._group.is_chief else np.zeros_like(own))
            variable.assign(chief.astype(own.dtype))

    def _callbacks(self, model: keras.Model, feed: TrainingFeed) -> tuple[Any, CheckpointCallback | None]:
        if self._run is None:
            return keras.callbacks.CallbackList([], model=model), None
        record = CheckpointCallback(
            self._run, Checkpoints(self._run.folder, model), feed, self._job.fit.early_stopping
        )
        board = keras.callbacks.TensorBoard(str(self._run.folder / "tensorboard"), write_graph=False)
        shown = EpochLine(self._job.fit.epochs, feed.steps)
        return keras.callbacks.CallbackList([record, shown, board], model=model), record
