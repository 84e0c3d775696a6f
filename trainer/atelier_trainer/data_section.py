"""The `data` section of a job: where the examples come from, and how their files are written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from atelier_trainer.job_values import SECTION, Positive, Share, Text, by_text, texts
from atelier_trainer.label_key import same_label

# A data section has exactly one of these keys.
_ONE_OF = ("name", "csv", "npz", "idx", "tfrecord")
_OF_CSV = ("separator", "decimal", "encoding", "columns", "missing", "text", "stream", "test_split")
_OF_RECORDS = ("label", "image", "test", "validation")


class _Section(BaseModel):
    model_config = SECTION


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
