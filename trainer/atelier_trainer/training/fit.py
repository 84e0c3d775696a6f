"""Fitting a job's network to its data, epoch by epoch, beginning after the last epoch that the run has finished."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import keras
import numpy as np
import tensorflow as tf

from atelier_trainer.data.dataset import DataSet, Examples, class_counts
from atelier_trainer.data.labels import class_ids
from atelier_trainer.errors import DataInvalid, JobError, RunError
from atelier_trainer.job import Fit, Job
from atelier_trainer.label_key import key
from atelier_trainer.training.augmentation import Augmentation
from atelier_trainer.training.callbacks import CheckpointCallback, EpochLine
from atelier_trainer.training.checkpoint import Checkpoints
from atelier_trainer.training.data_spec import Spec
from atelier_trainer.training.encoding import Encoding, encoding_for, vocabulary_of
from atelier_trainer.training.feed import TrainingFeed, in_order
from atelier_trainer.training.network import build, loss_for, loss_weight, metrics_for, optimizer
from atelier_trainer.training.run import Run


@dataclass(frozen=True)
class Fitted:
    """A trained model and the encoding of its inputs; `epochs` as trained, `best_epoch` whose weights these are."""

    model: keras.Model
    encoding: Encoding
    spec: Spec
    epochs: int
    best_epoch: int


@dataclass(frozen=True)
class Preparation:
    """What stands before the first update: what is known of the data, and how inputs are encoded."""

    spec: Spec
    encoding: Encoding

    @classmethod
    def of(cls, job: Job, data_set: DataSet, run: Run | None) -> Self:
        """Set the process's determinism and precision too. Without a run the vocabulary is made, and not kept."""
        if job.fit.deterministic:
            tf.config.experimental.enable_op_determinism()
        keras.mixed_precision.set_dtype_policy(precision(job.fit))
        spec = Spec.of(data_set)
        return cls(spec, encoding_for(spec, job.network, _words(run, job, data_set)))

    def feed(self, job: Job, data_set: DataSet) -> TrainingFeed:
        """The batches of a training."""
        changes = job.fit.flip or job.fit.shift
        return TrainingFeed(
            data_set.train,
            self.encoding,
            job.fit.batch_size,
            job.fit.seed,
            augmentation=Augmentation(data_set.shape, job.fit.flip, job.fit.shift) if changes else None,
        )


def fit(job: Job, data_set: DataSet, run: Run) -> Fitted:
    """Train the job's model in a run's folder, after the last epoch of an interrupted one. Progress on stderr."""
    made = Preparation.of(job, data_set, run)
    spec, encoding, feed = made.spec, made.encoding, made.feed(job, data_set)
    run.update(spec=spec.to_json(), steps=feed.steps)
    model = compiled(job, spec, encoding, feed.steps)
    checkpoints = Checkpoints(run.folder, model)
    checkpoint_callback = CheckpointCallback(run, checkpoints, feed, job.fit.early_stopping)
    done = checkpoint_callback.resume()
    if done:
        print(f"run {run.name}: goes on after epoch {done}", file=sys.stderr, flush=True)
    if done < job.fit.epochs and not checkpoint_callback.out_of_patience():
        model.fit(
            feed.dataset(),
            validation_data=in_order(data_set.validation, encoding) if data_set.validation else None,
            initial_epoch=done,
            epochs=job.fit.epochs,
            class_weight=class_weights(job.fit, data_set),
            shuffle=False,
            verbose=0,
            callbacks=[
                checkpoint_callback,
                EpochLine(job.fit.epochs, feed.steps),
                keras.callbacks.TensorBoard(str(run.folder / "tensorboard"), write_graph=False),
            ],
        )
    best = checkpoints.restore_best() if job.fit.early_stopping else len(checkpoint_callback.history)
    return Fitted(model, encoding, spec, len(checkpoint_callback.history), best)


def restore(run: Run) -> Fitted:
    """The model of a finished run, optimizer state included; needs no data."""
    job = run.job
    try:
        spec = Spec.from_json(run.document["spec"])
        encoding = encoding_for(spec, job.network, run.words())
        model = compiled(job, spec, encoding, run.document["steps"])
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise RunError(
            f"{run.folder / 'run.json'} is damaged ({type(error).__name__}: {error}). Remove the run's folder, and "
            "train the job again."
        ) from None
    checkpoints = Checkpoints(run.folder, model)
    best = checkpoints.restore_best() if job.fit.early_stopping else checkpoints.restore()
    if not best:
        raise RunError(f"{run.folder} holds no checkpoint.")
    return Fitted(model, encoding, spec, len(run.history()), best)


def compiled(job: Job, spec: Spec, encoding: Encoding, steps: int) -> keras.Model:
    """The untrained model with optimizer, loss and metrics, for epochs of `steps` updates."""
    model = build(job, spec, encoding)
    model.compile(
        optimizer=optimizer(job.optimizer, steps * job.fit.epochs),
        loss=loss_for(spec),
        loss_weights=loss_weight(spec),
        metrics=metrics_for(job.network, spec),
        steps_per_execution=min(job.fit.steps_per_execution, steps),
        jit_compile=job.fit.jit_compile,
    )
    return model


def _words(run: Run | None, job: Job, data_set: DataSet) -> list[bytes] | None:
    """The run's vocabulary: made once from the training texts, and kept."""
    kept = run.words() if run else None
    if data_set.kind != "text" or kept is not None:
        return kept
    assert isinstance(data_set.train, Examples)
    words = vocabulary_of(data_set.train.inputs, job.network.vocabulary)
    if run:
        run.write_words(words)
    return words


def precision(settings: Fit) -> str:
    """The dtype policy. Half precision is faster only on tensor cores: GPUs from compute capability 7."""
    if settings.precision != "auto":
        return settings.precision
    if settings.strategy != "single":
        return "float32"
    for device in tf.config.list_physical_devices("GPU"):
        capability = tf.config.experimental.get_device_details(device).get("compute_capability", (0, 0))
        if capability >= (7, 0):
            return "mixed_float16"
    return "float32"


def class_weights(settings: Fit, data_set: DataSet) -> dict[int, float] | None:
    """Weight by class number; `balanced` gives each class the same sum (n / (classes * count), as scikit-learn)."""
    names = data_set.class_names
    wanted = settings.class_weight
    if wanted is None:
        return None
    if wanted == "balanced":
        counts = np.maximum(class_counts(data_set.train, len(names)), 1)
        return {
            number: len(data_set.train) / (len(names) * int(count)) for number, count in enumerate(counts)
        }
    try:
        ids = class_ids(list(wanted), names, Path("fit.class_weight"), "class")
    except DataInvalid:
        unknown = [name for name in wanted if key(name) not in {key(known) for known in names}]
        raise JobError(
            f"fit.class_weight: there is no class {unknown[0]!r}; the classes are {', '.join(names)}."
        ) from None
    weights = dict.fromkeys(range(len(names)), 1.0) | dict(zip(ids.tolist(), wanted.values(), strict=True))
    weighed = [name for number, name in enumerate(names) if weights[number]]
    if len(weighed) < 2:
        raise JobError(
            f"fit.class_weight: a class of weight 0 is not learned, which leaves {', '.join(weighed) or 'none'}"
            "; expected two classes or more with a weight above 0."
        )
    return weights
