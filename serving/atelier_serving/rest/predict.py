"""Predict over REST: from a JSON document to a task, and from outputs to the text of the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from atelier_serving.inference.joining import Result
from atelier_serving.inference.predict import DEFAULT_SIGNATURE, Task, checked
from atelier_serving.models.servable import Servable
from atelier_serving.rest.document_memory import LargeDocument
from atelier_serving.rest.json import text as json_text
from atelier_serving.rest.json.document import LARGE
from atelier_serving.rest.json.tensors import read_inputs
from atelier_serving.rest.json.values import uncounted
from atelier_serving.rest.request import Request
from atelier_serving.status import ServingError, invalid


def predict_task(
    servable: Servable, name: str, document: dict[str, Any], large: LargeDocument | None
) -> tuple[Task, bool]:
    """What a document asks to run, and whether it has the row form. Empties the document. Raises `ServingError`.

    `name` is the document's signature name, or empty. `large` counts the inputs in place of the document.
    """
    signature = servable.signatures.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        text = f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in signature def'
        raise invalid(text)
    if not signature.inputs:
        raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    inputs, as_rows = read_inputs(document, signature.inputs, large.spend if large else uncounted)
    document.clear()
    if large:
        large.holds(size_of(inputs))
    return checked(servable, name or DEFAULT_SIGNATURE, inputs, []), as_rows


def predict_text(request: Request, result: Result, as_rows: bool) -> Iterator[str]:
    """The text of an answer, in pieces. `request.large` counts large outputs. Raises `ServingError`, or the result."""
    if isinstance(result, Exception):
        raise result
    size = size_of(result)
    large = request.large
    if large is None and size > LARGE:
        request.large = large = LargeDocument(request.memory, takes_turns=False)
    if large:
        large.holds(size)
        large.spend(json_text.longest_text(result))
    return json_text.rows(result) if as_rows else json_text.columns(result)


def joined_texts(results: Sequence[Result]) -> list[str] | None:
    """The texts of small answers that ran together, in the row form. None when each must be written by itself."""
    outputs = [result for result in results if not isinstance(result, Exception)]
    if len(outputs) < max(len(results), 2):
        return None
    try:
        return json_text.rows_apart(outputs)
    except ServingError:
        # Each gets its error.
        return None


def size_of(arrays: Mapping[str, np.ndarray]) -> int:
    """Bytes of memory that arrays take, with the strings in them."""
    return sum(
        array.nbytes + (sum(map(len, array.flat)) if array.dtype == object else 0)
        for array in arrays.values()
    )
