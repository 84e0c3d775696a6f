"""A job: what to train, on which data, how, and under which name to publish it."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
SOURCES = ("name", "csv", "npz", "idx", "tfrecord")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Section):
    """Where the examples come from: a known data set by `name`, or files, as paths from the job file's folder.

    `csv` (a glob for shards) has a `label` column, and either numbers in all others or a `text` column; with `image`
    the numbers are the pixels 0..255 of an image of that shape. `npz` and `idx` hold images, `tfrecord`
    tf.Example. `stream` reads CSV shards from disk in each epoch instead of keeping them in memory.
    """

    name: Literal["fashion-mnist", "imdb"] | None = None
    csv: str | None = None
    npz: str | None = None
    idx: str | None = None
    tfrecord: str | None = None
    label: str = "label"
    text: str | None = None
    image: list[Positive] | None = None
    class_names: list[str] | None = None
    test: str | None = None
    test_split: Share = 0.2
    validation: str | None = None
    stream: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        given = [source for source in SOURCES if getattr(self, source) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"needs exactly one of {', '.join(SOURCES)}, got {got}")
        if self.streams and not self.test:
            raise ValueError("needs a test file when the training data are streamed")
        if self.image is not None and len(self.image) not in (2, 3):
            raise ValueError(f"image is [height, width] or [height, width, channels], got {self.image}")
        return self

    @property
    def streams(self) -> bool:
        """True when the training examples stay on disk."""
        return self.stream or self.tfrecord is not None


class Network(_Section):
    """The layers between input and answer: convolutions (images) or an embedding (text) first, then dense ones.

    `l1` and `l2` weigh every kernel; `dropout` follows every hidden layer. Text is `vocabulary` words, as a multi-hot
    vector or, with `embedding`, as the mean of the vectors of its last `length` words.
    """

    hidden: list[Positive] = []
    convolutions: list[Positive] = []
    embedding: Positive | None = None
    activation: Literal["relu", "tanh", "sigmoid", "elu", "selu", "gelu", "silu"] = "relu"
    l1: NonNegative = 0.0
    l2: NonNegative = 0.0
    dropout: Share = 0.0
    vocabulary: Positive = 10_000
    length: Positive = 256


class Optimizer(_Section):
    """The optimizer by Keras's name; the schedule runs over the whole run's updates.

    `cosine` takes the rate to zero, `linear` too, `exponential` and `inverse_time` to a tenth; `warmup` is the share of
    the updates in which the rate first rises from zero.
    """

    name: Literal[
        "adam", "adamw", "nadam", "adamax", "adagrad", "adadelta", "rmsprop", "sgd", "ftrl", "lion"
    ] = "adam"
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.001
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
    """How long and in which portions; `seed` fixes initial weights and the order of the examples.

    `deterministic` makes every operation exact to the bit from run to run. `precision: auto` is mixed_float16 on a GPU
    with tensor cores and float32 elsewhere.
    """

    batch_size: Positive
    epochs: Positive
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    deterministic: bool = False
    validation_split: Share = 0.0
    early_stopping: EarlyStopping | None = None
    class_weight: Literal["balanced"] | dict[str, NonNegative] | None = None
    flip: bool = False
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    # Measured in docs/benchmarks.md and docs/decisions.md.
    steps_per_execution: Positive = 64
    jit_compile: bool = False


def _named(value: Any) -> Any:
    """`data: imdb` is short for `data: {name: imdb}`."""
    return {"name": value} if isinstance(value, str) else value


class Job(_Section):
    """One trained model: `model` is the name it is published and served under."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    data: Annotated[Data, BeforeValidator(_named)]
    network: Network
    optimizer: Optimizer = Optimizer()
    fit: Fit

    @model_validator(mode="after")
    def _stops_on_something(self) -> Job:
        validated = self.fit.validation_split or self.data.validation
        if self.fit.early_stopping and not validated:
            raise ValueError("fit.early_stopping needs fit.validation_split or data.validation")
        if self.fit.validation_split and self.data.validation:
            raise ValueError("give fit.validation_split or data.validation, not both")
        return self

    def digest(self) -> str:
        """SHA-256 over the job's canonical JSON: equal jobs, equal digests, however the file is written."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()
