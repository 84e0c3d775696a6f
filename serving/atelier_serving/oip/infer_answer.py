"""The answer to an inference request over HTTP: a JSON object, and behind it the outputs that are binary data.

Sources: "Inference Response JSON Object" of the Open Inference Protocol, and Triton's extension_binary_data.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import orjson

from atelier_serving.oip import json_data, raw
from atelier_serving.oip.datatypes import BY_NUMBER
from atelier_serving.oip.infer_document import AnswerForm
from atelier_serving.oip.parameters import BINARY_SIZE
from atelier_serving.rest.answer import Answer
from atelier_serving.rest.document_memory import LargeDocument
from atelier_serving.rest.json.document import LARGE
from atelier_serving.rest.predict import size_of
from atelier_serving.rest.request import Request
from atelier_serving.tensors import dtype_number

_BINARY = "application/octet-stream"
_HEADER = "Inference-Header-Content-Length"


def infer_answer(
    request: Request,
    model: str,
    version: int,
    form: AnswerForm,
    outputs: Mapping[str, np.ndarray],
    headers: Mapping[str, str],
) -> Answer:
    """The answer with the outputs by name. `request.large` counts large ones. Raises `ServingError`."""
    size = size_of(outputs)
    if request.large is None and size > LARGE:
        request.large = LargeDocument(request.memory, takes_turns=False)
    if request.large:
        request.large.holds(size)
    binary = {name for name in outputs if form.is_binary(name)}
    head = _joined(request, _head(model, version, form, outputs, binary))
    if not binary:
        return Answer(200, head, headers=dict(headers))
    pieces = (bytes(piece) for name in outputs if name in binary for piece in raw.pieces_of(outputs[name]))
    body = _joined(request, _followed(head, pieces))
    return Answer(200, body, _BINARY, {**headers, _HEADER: str(len(head))})


def _joined(request: Request, pieces: Iterator[bytes]) -> bytes:
    return request.large.gathered(pieces) if request.large else b"".join(pieces)


def _followed(head: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from pieces


def _head(
    model: str, version: int, form: AnswerForm, outputs: Mapping[str, np.ndarray], binary: set[str]
) -> Iterator[bytes]:
    """The JSON object, in pieces."""
    facts = {"model_name": model, "model_version": str(version)}
    if form.id is not None:
        facts["id"] = form.id
    yield orjson.dumps(facts)[:-1] + b',"outputs":['
    for position, (name, array) in enumerate(outputs.items()):
        datatype = BY_NUMBER[dtype_number(array.dtype)].name
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": array.shape}
        if name in binary:
            tensor["parameters"] = {BINARY_SIZE: raw.raw_size(array)}
        text = orjson.dumps(tensor)
        yield b"," + text[:-1] if position else text[:-1]
        if name not in binary:
            yield b',"data":'
            yield from json_data.pieces_of(name, array)
        yield b"}"
    yield b"]}"
