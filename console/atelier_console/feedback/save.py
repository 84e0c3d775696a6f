"""Saves an example with the label that a person says is right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from atelier_client._model_card import ModelCard
from atelier_client.data.label_rule import class_of
from atelier_client.errors import NotReachable, TimedOut

from atelier_console.feedback.appended import now
from atelier_console.feedback.csv_rows import append_row
from atelier_console.feedback.image_records import append_picture
from atelier_console.inputs.card_signature import card_signature
from atelier_console.inputs.given import Inputs
from atelier_console.models.served_model import DEFAULT_SIGNATURE, ServedModel
from atelier_console.problems import Problem
from atelier_console.settings import Settings
from atelier_console.texts import say
from atelier_console.trying.attempt import inputs_of

# What a row says beside its example; readers pass these columns over.
_ABOUT = ("time", "version", "predicted")


def save(settings: Settings, model: ServedModel, given: Mapping[str, Any]) -> str:
    """Save what `input` of the document means under its `label`; returns the sentence that says where.

    Without the server, the version that the repository would have served is taken, and none is noted.

    Raises `Problem` for a label that the model does not know and for a model whose examples have no file,
    `DataError` for a file that is damaged or of another kind, and `OSError`.
    """
    document, label = given.get("input"), given.get("label")
    if not isinstance(document, dict):
        raise Problem(say("no_input"))
    away = False
    try:
        version = model.asked()[0].version
    except (NotReachable, TimedOut):
        # The label is worth keeping, and what the repository has on disk is enough to read most inputs.
        version, away = model.on_disk(), True
    card = model.card(version)
    if card is None or not card.class_names:
        raise Problem(say("no_card_no_feedback", model=model.name))
    number = class_of(str(label), card.class_names)
    if number < 0:
        raise Problem(say("no_such_label", label=label, names=", ".join(card.class_names)))
    known = {DEFAULT_SIGNATURE: card_signature(card.layout, DEFAULT_SIGNATURE)} if away else None
    inputs, _ = inputs_of(model, version, document, known)
    name = card.class_names[number]
    if inputs.picture is not None:
        path = settings.feedback / f"{file_name(model.name)}.tfrecord"
        append_picture(path, inputs.picture.pixels, number, card.class_names)
    else:
        path = settings.feedback / f"{file_name(model.name)}.csv"
        header, cells = _row(inputs, card, name, "" if away else str(version), given.get("predicted"))
        append_row(path, card.layout, header, cells)
    return say("saved_away" if away else "saved", label=name, path=path)


def file_name(model: str) -> str:
    """The model's name with `_` for what a file's name may not have (docs/contracts.md, section 5)."""
    return re.sub(r"[^A-Za-z0-9_.-]|^\.", "_", model)


def _row(
    inputs: Inputs, card: ModelCard, label: str, version: str, predicted: Any
) -> tuple[list[str], list[str]]:
    """Header and cells: the inputs, the label, and where no column is called so, what is said about them."""
    if inputs.text is not None:
        row = {card.layout.text or "text": inputs.text}
    elif inputs.row is not None:
        row = dict(inputs.row)
    else:
        raise Problem(say("json_no_feedback"))
    row[card.layout.label or "label"] = label
    about = dict(zip(_ABOUT, (now(), version, str(predicted or "")), strict=True))
    row |= {name: value for name, value in about.items() if name not in row}
    return list(row), list(row.values())
