"""A job: what to train, on which data, how, and under which name to publish it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, PrivateAttr, model_validator

from atelier_trainer.data_section import DataSection
from atelier_trainer.job_values import (
    SECTION,
    Count,
    FolderName,
    NonNegative,
    Number,
    Positive,
    Share,
    Stage,
    Text,
    by_text,
)
from atelier_trainer.label_key import same_label
from atelier_trainer.task import Task


class _Section(BaseModel):
    model_config = SECTION


class Network(_Section):
    """The hidden layers: convolutions (images) or an embedding (text) first, then dense ones.

    In `convolutions` a number is a stage of one convolution, a list a stage of several.
    `l1` and `l2` are penalties on every kernel; `dropout` follows every hidden layer. A text is a multi-hot vector of
    `vocabulary` words or, with `embedding`, the mean of the vectors of its last `length` words.
    """

    hidden: list[Positive] = []
    convolutions: list[Stage] = []
    embedding: Positive | None = None
    activation: Literal["relu", "tanh", "sigmoid", "elu", "selu", "gelu", "silu"] = "relu"
    l1: NonNegative = 0.0
    l2: NonNegative = 0.0
    dropout: Share = 0.0
    vocabulary: Positive = 10_000
    length: Positive = 256

    @model_validator(mode="after")
    def _length_has_a_use(self) -> Network:
        if self.length != type(self).model_fields["length"].default and not self.embedding:
            raise ValueError("length belongs to embedding: without it every word of a text counts")
        return self


class Optimizer(_Section):
    """The optimizer by Keras's name. The schedule runs over all updates of the run.

    `cosine` and `linear` lower the rate to zero, `exponential` and `inverse_time` to a tenth. `warmup` is the share of
    the updates in which the rate first rises from zero.
    """

    name: Literal[
        "adam", "adamw", "nadam", "adamax", "adagrad", "adadelta", "rmsprop", "sgd", "ftrl", "lion"
    ] = "adam"
    learning_rate: Annotated[Number, Field(gt=0, le=10)] = 0.001
    schedule: Literal["constant", "cosine", "linear", "exponential", "inverse_time"] = "constant"
    warmup: Share = 0.0
    momentum: Share = 0.0
    weight_decay: NonNegative = 0.0

    @model_validator(mode="after")
    def _momentum_has_a_use(self) -> Optimizer:
        if self.momentum and self.name not in ("sgd", "rmsprop"):
            raise ValueError(f"momentum belongs to sgd and rmsprop, not to {self.name}")
        return self


class EarlyStopping(_Section):
    """Stop when the best value is `patience` epochs old, and keep the weights of that epoch."""

    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    patience: Positive = 3


class Fit(_Section):
    """How the network is trained. `seed` fixes the initial weights and the order of the examples.

    With `flip` and `shift` training images are mirrored, and moved by up to so many pixels, at random.
    With `deterministic` two runs give results that are equal to the bit. `precision: auto` is mixed_float16 on a GPU
    with tensor cores and float32 elsewhere. `strategy`: `mirrored` trains on all GPUs of the machine, `multi_worker`
    with the workers that the environment's TF_CONFIG names; `batch_size` is that of all together.
    """

    batch_size: Positive
    epochs: Positive
    seed: Count = 0
    deterministic: bool = False
    validation_split: Share = 0.0
    early_stopping: EarlyStopping | None = None
    class_weight: Annotated[
        Literal["balanced"] | dict[Text, NonNegative] | None, BeforeValidator(by_text)
    ] = None
    flip: bool = False
    shift: Count = 0
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    # Measured in docs/benchmarks.md and docs/decisions.md.
    steps_per_execution: Positive = 64
    jit_compile: bool = False
    strategy: Literal["single", "mirrored", "multi_worker"] = "single"

    @model_validator(mode="after")
    def _fits_the_strategy(self) -> Fit:
        if self.strategy != "single" and self.jit_compile:
            raise ValueError(
                f"jit_compile: XLA compiles no messages between replicas; leave it out with {self.strategy}"
            )
        if self.strategy != "single" and self.precision == "mixed_float16":
            raise ValueError(
                f"precision mixed_float16 scales the loss in one process only; with {self.strategy} use mixed_bfloat16"
            )
        return self

    @model_validator(mode="after")
    def _weighs_a_class_once(self) -> Fit:
        twice = same_label(list(self.class_weight)) if isinstance(self.class_weight, dict) else None
        if twice:
            raise ValueError(f"class_weight: {twice[0]} and {twice[1]} are one class")
        return self


def _named(value: Any) -> Any:
    """`data: imdb` is short for `data: {name: imdb}`."""
    return {"name": value} if isinstance(value, str) else value


class Job(_Section):
    """One trained model: `model` is the name it is published and served under.

    `task` is what it learns: a class of each example, or with `regression` a number.
    """

    name: FolderName
    model: FolderName
    task: Task = "classification"
    data: Annotated[DataSection, BeforeValidator(_named)]
    network: Network
    optimizer: Optimizer = Optimizer()
    fit: Fit
    # Where the job file lies is no part of what the job says. So it is neither dumped nor part of the digest.
    _folder: Path | None = PrivateAttr(default=None)

    @classmethod
    def from_document(cls, document: Any, folder: Path) -> Job:
        """The job in a document whose relative data paths start from `folder`. Raises pydantic's `ValidationError`."""
        job = cls.model_validate(document)
        job._folder = folder
        return job

    @property
    def folder(self) -> Path:
        """The folder that relative data paths start from; a job from a run's record or a sidecar file has none."""
        assert self._folder is not None, "a job that was made without its folder cannot find its data"
        return self._folder

    @model_validator(mode="after")
    def _stops_on_something(self) -> Job:
        validated = self.fit.validation_split or self.data.validation
        if self.fit.early_stopping and not validated:
            raise ValueError("fit.early_stopping needs fit.validation_split or data.validation")
        if self.fit.validation_split and self.data.validation:
            raise ValueError("give fit.validation_split or data.validation, not both")
        return self

    @model_validator(mode="after")
    def _keys_fit_the_task(self) -> Job:
        """A number has no classes; and what is kept as counts of classes cannot hold numbers."""
        if self.task == "classification":
            return self
        if self.fit.early_stopping and self.fit.early_stopping.monitor == "val_accuracy":
            raise ValueError("task regression has no accuracy: fit.early_stopping.monitor is val_loss")
        if self.data.name:
            raise ValueError(f"task regression needs labels that are numbers: {self.data.name} has classes")
        if self.data.idx or self.data.tfrecord:
            key = "idx" if self.data.idx else "tfrecord"
            raise ValueError(f"task regression reads csv and npz: data.{key} holds whole numbers of classes")
        for key, given in (
            ("data.class_names", self.data.class_names),
            ("fit.class_weight", self.fit.class_weight),
        ):
            if given:
                raise ValueError(f"{key} belongs to task classification: a number has no classes")
        if self.data.stream:
            raise ValueError("task regression keeps its examples in memory: leave data.stream out")
        return self

    def digest(self) -> str:
        """SHA-256 over the job's canonical JSON. Equal jobs have equal digests, however their files are written."""
        document = self.model_dump(mode="json")
        # How the work is divided is not what is trained.
        del document["fit"]["strategy"]
        # These keys came later: jobs without them keep the digests that their runs and versions carry.
        if not self.fit.shift:
            del document["fit"]["shift"]
        if self.task == "classification":
            del document["task"]
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()
