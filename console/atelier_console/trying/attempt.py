"""One try: what a person gave, sent to stable and to canary."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from atelier_client import Signature
from atelier_client._layout import UNKNOWN
from atelier_client.data.image_file import Picture
from atelier_client.errors import ClientError, DataError
from atelier_client.signature import choose

from atelier_console.inputs.examples import Example
from atelier_console.inputs.given import Inputs, Version, read_inputs
from atelier_console.inputs.reference import Reference
from atelier_console.models.served_model import DEFAULT_SIGNATURE, Asked, ServedModel
from atelier_console.problems import NotFound, Problem
from atelier_console.settings import Settings
from atelier_console.texts import say
from atelier_console.trying import difference
from atelier_console.trying.answer import Answer, ask, failed
from atelier_console.trying.lines import lines


def attempt(settings: Settings, model: ServedModel, given: Mapping[str, Any]) -> dict[str, Any]:
    """The answers to an input document, and what a page shows beside them.

    Raises `Problem`, `InputError`, `DataError` or `ServerError` when the first version cannot be asked; what goes
    wrong with the canary alone is said in its place.
    """
    first, *others = model.asked()
    inputs, method = inputs_of(model, first.version, given)
    answer = _ask(model, first, inputs, method)
    documents, sentence = [answer.document()], say("one_version")
    for other in others:
        try:
            its_inputs, its_method = inputs_of(model, other.version, given)
            second = _ask(model, other, its_inputs, its_method)
            documents.append(second.document())
            sentence = difference.sentence(answer, second)
        except (ClientError, Problem) as error:
            documents.append(failed(other, error))
            sentence = say("not_compared", why=error)
    return {
        "answers": documents,
        "difference": sentence,
        "saw": shown(inputs.picture) if inputs.picture else None,
        "example_label": say("example_label", label=inputs.example.label) if inputs.example else None,
        "lines": lines(settings, model.name, first.version, inputs, method),
    }


def inputs_of(
    model: ServedModel, version: int, given: Mapping[str, Any], known: Mapping[str, Signature] | None = None
) -> tuple[Inputs, str]:
    """The inputs of a version that a document means, and the method of their signature. Raises as `attempt`.

    `known` are its signatures where the server is not to be asked.
    """
    signatures = known or model.signatures(version)
    name = DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in signatures else next(iter(signatures), DEFAULT_SIGNATURE)
    if given.get("kind") == "json":
        # Also with a model card that is damaged: the signatures are the server's.
        card = "json", UNKNOWN, Reference()
    else:
        card = model.kind(version), model.layout(version), model.reference(version)
    described = Version(signatures, choose(signatures, name), *card, model.name)
    example = _example(model, version, given) if given.get("kind") == "example" else None
    inputs = read_inputs(given, described, example)
    return inputs, signatures[inputs.signature].method


def shown(picture: Picture) -> dict[str, Any]:
    """A picture for the page's script: its size, its bytes row by row, and what was done to it."""
    pixels = picture.pixels
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    return {
        "width": width,
        "height": height,
        "channels": channels,
        "bytes": base64.b64encode(pixels.tobytes()).decode(),
        "steps": list(picture.steps) or [say("as_given")],
        "label": say("saw_label", width=width, height=height),
    }


def _ask(model: ServedModel, asked: Asked, inputs: Inputs, method: str) -> Answer:
    try:
        card = model.card(asked.version)
    except DataError:
        card = None
    return ask(model.client, asked, inputs, method, card.class_names if card else ())


def _example(model: ServedModel, version: int, given: Mapping[str, Any]) -> Example:
    examples = model.examples(version)
    if not examples:
        raise NotFound(say("no_examples"))
    number = given.get("number")
    for example in examples:
        # True equals 1 in Python.
        if example.number == number and not isinstance(number, bool):
            return example
    raise NotFound(say("no_example", number=number, count=len(examples)))
