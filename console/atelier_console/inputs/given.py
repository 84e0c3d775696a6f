"""What a person gave, a JSON document of one of a few kinds, as the inputs of one version of a model."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from atelier_client import Signature
from atelier_client._layout import Layout
from atelier_client.data.binding import Binding
from atelier_client.data.image_file import Picture
from atelier_client.data.prediction_inputs import of_texts
from atelier_client.errors import InputError
from atelier_client.messages.tensors import as_array

from atelier_console.inputs.examples import Example
from atelier_console.inputs.figure import picture_for
from atelier_console.inputs.reference import Reference
from atelier_console.problems import Problem
from atelier_console.texts import say

KINDS = ("picture", "text", "row", "example", "json")
# What a kind of model takes; JSON is always taken.
TAKES = {"image": "picture", "text": "text", "table": "row"}
MOST_TEXT = 200_000
# Arrays of numpy have 64 axes at most, those of models a few.
_DEEPEST = 32


@dataclass(frozen=True)
class Inputs:
    """Arrays by input name, one row each (of JSON as many as it has), and where they come from.

    `rows` are those of a classify or regress signature, which takes features instead of arrays. `picture` is what an
    image model sees, `row` the cells of a table by column, as they were given; both for one row.
    """

    signature: str
    arrays: Mapping[str, Any] = field(default_factory=dict)
    rows: list[Mapping[str, Any]] | None = None
    picture: Picture | None = None
    text: str | None = None
    row: Mapping[str, str] | None = None
    example: Example | None = None


@dataclass(frozen=True)
class Version:
    """What is known of the version that is asked: its signatures, and by its card and golden examples how it sees."""

    signatures: Mapping[str, Signature]
    signature: Signature
    kind: str
    layout: Layout
    reference: Reference
    model: str


def read_inputs(document: Mapping[str, Any], version: Version, example: Example | None) -> Inputs:
    """The inputs that a document means; `example` is the test example that it names, if it names one.

    Raises `Problem`, `DataError` or `InputError`, each with a sentence.
    """
    kind = document.get("kind")
    if kind not in KINDS:
        raise Problem(say("no_such_kind", kind=kind, kinds=", ".join(KINDS)))
    if kind == "json":
        return _json(document, version)
    if example is not None:
        return Inputs(
            version.signature.name, example.arrays, None, example.picture, example.text, example.row, example
        )
    if version.kind not in TAKES:
        raise Problem(say("unknown_takes", model=version.model, kind=kind))
    if TAKES[version.kind] != kind:
        raise Problem(say("wrong_kind", model=version.model, kind=kind, takes=TAKES[version.kind]))
    if kind == "picture":
        return _picture(document, version)
    return _text(document, version) if kind == "text" else _row(document, version)


def _picture(document: Mapping[str, Any], version: Version) -> Inputs:
    try:
        data = base64.b64decode(_text_of(document, "data"), validate=True)
    except (binascii.Error, ValueError):
        raise Problem(say("no_base64")) from None
    info = version.signature.required[0]
    fill = document.get("fill")
    picture = picture_for(
        data,
        info,
        version.layout,
        version.reference,
        fill if isinstance(fill, bool) else None,
        say("picture"),
    )
    return Inputs(version.signature.name, {info.name: pixels_as(info.dtype, picture)}, picture=picture)


def pixels_as(dtype: str, picture: Picture) -> Any:
    """The picture as one row of an input: uint8, or floats in [0,1] (docs/contracts.md, section 1)."""
    pixels = picture.pixels[None]
    return pixels.astype(np.float32) / np.float32(255) if dtype == "float32" else pixels


def _text(document: Mapping[str, Any], version: Version) -> Inputs:
    text = _text_of(document, "text")
    if not text.strip():
        raise Problem(say("no_text"))
    if len(text) > MOST_TEXT:
        raise Problem(say("long_text", size=len(text), most=MOST_TEXT))
    part = next(of_texts([text], version.signature))
    return Inputs(version.signature.name, part.inputs, text=text)


def _row(document: Mapping[str, Any], version: Version) -> Inputs:
    values = document.get("values")
    if not isinstance(values, dict):
        raise Problem(say("lacks", name="values", what="an object of cells by column"))
    columns = version.layout.columns
    for name in values:
        if name not in columns:
            raise Problem(say("unknown_column", name=name, columns=", ".join(columns)))
    cells = {name: str(values[name]) for name in columns if name in values}
    for name in columns:
        if name not in cells:
            raise Problem(say("no_columns", name=name, columns=", ".join(columns)))
    binding = Binding(version.signature, say("form"), layout=version.layout)
    table = {name: np.array([cell], object) for name, cell in cells.items()}
    return Inputs(version.signature.name, binding.inputs(table, 0), row=cells)


def _json(document: Mapping[str, Any], version: Version) -> Inputs:
    name = str(document.get("signature") or version.signature.name)
    if name not in version.signatures:
        raise InputError(say("no_such_signature", name=name, names=", ".join(version.signatures)))
    signature = version.signatures[name]
    text = _text_of(document, "text")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Problem(say("json_wrong", why=error)) from None
    if _is_deep(value):
        raise Problem(say("json_deep", most=_DEEPEST))
    if signature.method.endswith(("classify", "regress")):
        rows = value if isinstance(value, list) else [value]
        if not rows or not all(isinstance(row, dict) for row in rows):
            raise Problem(say("json_examples", name=name))
        return Inputs(name, rows=rows)
    if not isinstance(value, dict) or (len(signature.required) == 1 and set(value) == {"b64"}):
        value = {signature.required[0].name: value}
    return Inputs(name, {key: as_array(_decoded(item)) for key, item in value.items()})


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST + 1):
        level = [
            child
            for item in level
            if isinstance(item, (list, dict))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return bool(level)


def _decoded(value: Any) -> Any:
    """JSON with `{"b64": ".."}` as bytes, as TensorFlow Serving's REST has it."""
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError):
            raise Problem(say("no_base64")) from None
    return value


def _text_of(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise Problem(say("lacks", name=name, what="a text"))
    return value
