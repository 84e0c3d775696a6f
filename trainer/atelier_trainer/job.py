"""A job: what to train, on which data, how, and under which name to publish it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    model_validator,
)

from atelier_trainer.job_values import (
    Count,
    FolderName,
    NonNegative,
    Number,
    Positive,
    Share,
    Stage,
    Text,
    by_text,
    texts,
)
from atelier_trainer.label_key import same_label

# A data section has exactly one of these keys.
_ONE_OF = ("name", "csv", "npz", "idx", "tfrecord")
_OF_CSV = ("separator", "decimal", "encoding", "columns", "missing", "text", "stream", "test_split")
_OF_RECORDS = ("label", "image", "test", "validation")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSection(_Section):
    """Where the examples come from: a known data set by `name`, or files, as paths from the job file's folder.

    `csv` (a glob for shards) has a `label` column, and either numbers in all others or a `text` column; with `image`
    the numbers are the pixels 0..255 of an image of that shape. `npz` and `idx` hold images, `tfrecord`
    tf.Example. `stream` reads CSV shards from disk in each epoch instead of keeping them in memory.
    `separator`, `decimal` and `encoding` say how a CSV is written. `columns` says which columns are categories or
    are left out. `missing` says which cells stand for a missing value.
    """

    name: Literal["fashion-mnist", "imdb"] | None = None
    csv: str | None = None
    npz: str | None = None
    idx: str | None = None
    tfrecord: str | None = None
    label: str = "label"
    text: str | None = None
    image: list[Positive] | None = None
    class_names: Annotated[list[Text], Field(min_length=2)] | None = None
    separator: str = ","
    decimal: Literal[".", ","] = "."
    encoding: str = "utf-8"
    columns: Annotated[dict[Text, Literal["number", "category", "ignore"]], BeforeValidator(by_text)] = {}
    missing: Annotated[list[Text], BeforeValidator(texts)] = []
    test: str | None = None
    test_split: Share = 0.2
    validation: str | None = None
    stream: bool = False

    @model_validator(mode="after")
    def _one_origin(self) -> DataSection:
        given = [key for key in _ONE_OF if getattr(self, key) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"needs exactly one of {', '.join(_ONE_OF)}, got {got}")
        if self.streams and not self.test:
            raise ValueError("needs a test file when the training data are streamed")
        if self.image is not None and len(self.image) not in (2, 3):
            raise ValueError(f"image is [height, width] or [height, width, channels], got {self.image}")
        return self

    @model_validator(mode="after")
    def _written_as_said(self) -> DataSection:
        for key in self._without_use():
            if getattr(self, key) != type(self).model_fields[key].default:
                also = (
                    " and tfrecord"
                    if key in _OF_RECORDS
                    else ", npz, idx and tfrecord"
                    if key == "class_names"
                    else ""
                )
                raise ValueError(f"{key} belongs to csv{also}")
        if self.test and self.test_split != type(self).model_fields["test_split"].default:
            raise ValueError("test names the test examples: leave test_split out, or leave out test")
        if self.stream and self.text:
            raise ValueError("stream reads tables and images; text is kept in memory: leave stream out")
        for key in ("columns", "missing"):
            if getattr(self, key) and (self.text or self.image):
                raise ValueError(f"{key} belongs to tables, not to {'text' if self.text else 'images'}")
        sign = self.separator
        if len(sign) != 1 or not sign.isascii() or sign.isalnum() or sign in '"\r\n.+-_\0':
            raise ValueError(f'separator is one sign of ASCII, such as ";" or "\\t", got {sign!r}')
        if self.separator == self.decimal:
            raise ValueError(f"separator and decimal are both {self.decimal!r}: a file cannot be read so")
        try:
            "".encode(self.encoding)
        except LookupError:
            raise ValueError(
                f"encoding: Python knows no {self.encoding!r}; usual are utf-8, latin-1, cp1252, utf-16"
            ) from None
        if self.text == self.label:
            raise ValueError(f"text: {self.label} is the label, which is no input")
        if self.columns.get(self.label):
            raise ValueError(f"columns: {self.label} is the label, which is no input")
        return self

    def _without_use(self) -> tuple[str, ...]:
        """The keys that say nothing of data from this origin: given, they would be passed over in silence."""
        if self.csv is not None:
            return ()
        if self.tfrecord is not None:
            return _OF_CSV
        return _OF_CSV + _OF_RECORDS + (("class_names",) if self.name else ())

    @model_validator(mode="after")
    def _classes_differ(self) -> DataSection:
        names = self.class_names or []
        if any(not name.strip() or name != name.strip() for name in names):
            raise ValueError(f"class_names: a name is empty or has spaces around it, got {names}")
        twice = same_label(names)
        if twice:
            one = twice[0] if twice[0] == twice[1] else f"{twice[0]} and {twice[1]} are one number, and"
            raise ValueError(f"class_names: {one} is there twice")
        return self

    @property
    def by_column(self) -> bool:
        """True when the model has one input a column: categories, or values that may be missing."""
        return bool(self.missing) or "category" in self.columns.values()

    @property
    def streams(self) -> bool:
        """True when the training examples stay on disk."""
        return self.stream or self.tfrecord is not None


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
    """One trained model: `model` is the name it is published and served under."""

    name: FolderName
    model: FolderName
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

    def digest(self) -> str:
        """SHA-256 over the job's canonical JSON. Equal jobs have equal digests, however their files are written."""
        document = self.model_dump(mode="json")
        # How the work is divided is not what is trained.
        del document["fit"]["strategy"]
        if not self.fit.shift:
            # The key came later: jobs without it keep the digests that their runs and versions carry.
            del document["fit"]["shift"]
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()
