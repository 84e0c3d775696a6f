"""One epoch of a group: its updates and its metrics."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from atelier_trainer import interrupt
from atelier_trainer.data.dataset import DataSet
from atelier_trainer.distributed.group import Group
from atelier_trainer.job import Job
from atelier_trainer.training.feed import Share, TrainingFeed, in_order
from atelier_trainer.training.fit import Preparation, class_weights
from atelier_trainer.training.network import loss_for, loss_weight, metrics_for


class Epoch:
    """The compiled steps, and metrics that stand for the same numbers as those of Keras's `fit`.

    The metrics are variables of this process alone. Keras's metrics are made of sums, so the sums over all processes
    make the metric of all examples.
    """

    def __init__(
        self,
        job: Job,
        data_set: DataSet,
        made: Preparation,
        model: keras.Model,
        feed: TrainingFeed,
        group: Group,
    ) -> None:
        self.feed = feed
        self._model, self._group, self._made = model, group, made
        self._validation = data_set.validation
        self._loss = keras.losses.get(loss_for(made.spec))
        self._loss_weight = loss_weight(made.spec) or 1.0
        weights = class_weights(job.fit, data_set)
        self._class_weights = (
            tf.constant([weights[number] for number in sorted(weights)]) if weights else None
        )
        self._mean_loss = keras.metrics.Mean("loss")
        self._metrics = metrics_for(job.network, made.spec)
        self._at_once = min(job.fit.steps_per_execution, feed.steps)
        share = Share(group.first, group.local, group.replicas)
        self._batches = group.strategy.distribute_datasets_from_function(lambda _: feed.shares(share))
        self._run_updates = tf.function(self._updates)
        self._run_validation = tf.function(self._validated)

    def train(self, callbacks: Any) -> dict[str, float]:
        """All updates of the epoch that `feed.epoch` names; the metrics over all replicas."""
        self._reset()
        batches = iter(self._batches)
        for first in range(0, self.feed.steps, self._at_once):
            steps = min(self._at_once, self.feed.steps - first)
            callbacks.on_train_batch_begin(first)
            self._run_updates(batches, tf.constant(steps))
            callbacks.on_train_batch_end(first + steps - 1)
            interrupt.check()
        for metric in self._all_metrics():
            for variable in metric.variables:
                variable.assign(self._group.total(variable.numpy()))
        return self._results("")

    def validate(self) -> dict[str, float]:
        """The metrics of the validation examples, computed by this process alone; empty without such examples."""
        if self._validation is None:
            return {}
        self._reset()
        for features, labels in in_order(self._validation, self._made.encoding):
            self._run_validation(features, labels)
        return self._results("val_")

    def _updates(self, batches: Any, steps: Any) -> None:
        for _ in tf.range(steps):
            outcome = self._group.strategy.run(self._step, args=(next(batches),))
            # The replicas of this process, one after the other.
            parts = (self._group.strategy.experimental_local_results(part) for part in outcome)
            for loss, size, labels, outputs, counted in zip(*parts, strict=True):
                # The replicas' parts add up to the batch's loss, and each stands for an equal part of the batch.
                self._mean_loss.update_state(
                    loss * self._group.replicas, sample_weight=size / self._group.replicas
                )
                for metric in self._metrics:
                    metric.update_state(labels, outputs, sample_weight=counted)

    def _step(self, batch: Any) -> Any:
        """A replica's part of an update, of what `TrainingFeed.shares` gives; the optimizer adds the parts up."""
        features, labels, counted, size = batch
        weights = counted
        if self._class_weights is not None:
            weights = counted * tf.gather(self._class_weights, labels[:, 0])
        with tf.GradientTape() as tape:
            outputs = self._model(features, training=True)
            part = self._loss_weight * tf.reduce_sum(self._loss(labels, outputs) * weights) / size
            # All replicas have the same penalty: together they count it once.
            part += self._penalty() / self._group.replicas
        variables = self._model.trainable_variables
        self._model.optimizer.apply(tape.gradient(part, variables), variables)
        return part, size, labels, outputs, counted

    def _validated(self, features: Any, labels: Any) -> None:
        outputs = self._model(features, training=False)
        loss = self._loss_weight * tf.reduce_mean(self._loss(labels, outputs)) + self._penalty()
        self._mean_loss.update_state(loss, sample_weight=tf.shape(labels)[0])
        for metric in self._metrics:
            metric.update_state(labels, outputs)

    def _penalty(self) -> Any:
        return tf.add_n(self._model.losses) if self._model.losses else tf.zeros([])

    def _all_metrics(self) -> list[keras.metrics.Metric]:
        return [*self._metrics, self._mean_loss]

    def _reset(self) -> None:
        for metric in self._all_metrics():
            metric.reset_state()

    def _results(self, prefix: str) -> dict[str, float]:
        return {f"{prefix}{metric.name}": float(metric.result()) for metric in self._all_metrics()}
