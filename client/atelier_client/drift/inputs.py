"""The inputs of a request in one form, whatever signature was asked: pictures, texts, or columns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.drift.column import Group
from atelier_client.drift.pictures import features_of as picture_features
from atelier_client.drift.schema import Schema
from atelier_client.drift.texts import features_of as text_features

# By a column's group and name: float64 [N] (NaN is missing), object [N] of str (`""` is missing), or bool [N].
Values = dict[tuple[Group, str], NDArray[Any]]
# As many columns as a reference has (docs/contracts.md).
MOST_COLUMNS = 500


@dataclass(frozen=True)
class Pictures:
    """uint8 [N,H,W] or [N,H,W,C]."""

    pixels: NDArray[Any]

    def features(self, schema: Schema) -> Values:
        """Mean, contrast, ink area; against training's background whether they are inverted."""
        read = picture_features(self.pixels)
        found: Values = {
            ("picture", "mean"): read.mean,
            ("picture", "contrast"): read.contrast,
            ("picture", "ink area"): read.ink,
        }
        if schema.background:
            found["picture", "inverted"] = read.light_border != (schema.background == "light")
        return found

    def digests(self) -> list[bytes]:
        """What tells one picture from another."""
        return [_digest(picture.tobytes()) for picture in self.pixels]


@dataclass(frozen=True)
class Texts:
    """UTF-8 as bytes, object [N]."""

    texts: NDArray[Any]

    def features(self, schema: Schema) -> Values:
        """The number of words, and the share that the reference's vocabulary does not have."""
        lengths, unknown = text_features(self.texts.tolist(), schema.vocabulary or frozenset())
        found: Values = {("text", "words"): lengths}
        if schema.vocabulary is not None:
            found["text", "unknown words"] = unknown
        return found

    def digests(self) -> list[bytes]:
        """What tells one text from another."""
        return [_digest(text) for text in self.texts.tolist()]


@dataclass(frozen=True)
class Columns:
    """By name float32 [N] (NaN is missing) or object [N] of str (`""` is missing)."""

    columns: Mapping[str, NDArray[Any]]

    def features(self, schema: Schema) -> Values:
        """The columns themselves; of numbers that may be missing also whether they are."""
        found: Values = {}
        for name, values in self.columns.items():
            if values.dtype == object:
                found["input", name] = values
                continue
            found["input", name] = values.astype(np.float64)
            if schema.kinds:
                found["input", f"{name} (missing)"] = np.isnan(values)
        return dict(list(found.items())[:MOST_COLUMNS])

    def digests(self) -> list[bytes]:
        """What tells one row from another."""
        rows = zip(*(self.columns[name].tolist() for name in sorted(self.columns)), strict=True)
        return [_digest(repr(row).encode()) for row in rows]


Inputs = Pictures | Texts | Columns


def inputs_of(given: Mapping[str, NDArray[Any]], schema: Schema) -> Inputs | None:
    """The inputs of a predict or classify request, named as in docs/contracts.md; None when they are not in it."""
    if schema.kind == "image":
        return _pictures(given, schema)
    if schema.kind == "text":
        texts = given.get("text", next(iter(given.values()), None))
        return None if texts is None or texts.ndim != 1 or texts.dtype != object else Texts(_as_bytes(texts))
    if schema.kind != "table":
        return None
    if schema.kinds:
        found = {
            name: _column(given[name], schema.kinds.get(name) == "category")
            for name in schema.columns
            if name in given and given[name].ndim == 1
        }
        return Columns(found) if found else None
    rows = next(
        (
            array
            for array in given.values()
            if array.ndim == 2 and array.shape[1] == len(schema.columns) and array.dtype.kind in "fiu"
        ),
        None,
    )
    if rows is None and len(schema.columns) == 1:
        rows = next(
            (array[:, None] for array in given.values() if array.ndim == 1 and array.dtype.kind in "fiu"),
            None,
        )
    if rows is None:
        return None
    return Columns({name: rows[:, place].astype(np.float32) for place, name in enumerate(schema.columns)})


def _pictures(given: Mapping[str, NDArray[Any]], schema: Schema) -> Pictures | None:
    size = int(np.prod(schema.shape))
    for array in given.values():
        if not array.ndim or array.dtype.kind not in "fiu" or not size or array.size != len(array) * size:
            continue
        if array.dtype.kind == "f":
            # The signature `scaled` takes pixels from 0 to 1.
            array = np.rint(np.nan_to_num(array, nan=0.0) * 255)
        pixels = np.clip(array, 0, 255).astype(np.uint8)
        return Pictures(pixels.reshape(len(array), *schema.shape))
    return None


def _column(cells: NDArray[Any], category: bool) -> NDArray[Any]:
    """The cells of one input [N]: of a classify request also lists of one value, None for an absent feature."""
    if not category and cells.dtype.kind in "fiu":
        return cells.astype(np.float32)
    values = [cell[0] if isinstance(cell, list) and cell else cell for cell in cells.tolist()]
    if not category:
        return np.array(
            [value if isinstance(value, (int, float)) else np.nan for value in values], np.float32
        )
    found = np.empty(len(values), object)
    found[:] = values
    found[:] = [text.decode("utf-8", "replace").strip() for text in _as_bytes(found).tolist()]
    return found


def _as_bytes(texts: NDArray[Any]) -> NDArray[Any]:
    """Texts as the wire has them: a file of examples gives str. What is none is empty."""
    found = np.empty(len(texts), object)
    found[:] = [
        text.encode("utf-8", "replace") if isinstance(text, str) else text if isinstance(text, bytes) else b""
        for text in texts.tolist()
    ]
    return found


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
