"""The labels that came later: class numbers by the digest of the inputs that they belong to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from atelier_client._model_card import ModelCard
from atelier_client.data.binding import Binding
from atelier_client.data.open import open_reader
from atelier_client.drift.inputs import inputs_of
from atelier_client.drift.schema import Schema
from atelier_client.signature import Signature, TensorInfo

_ROWS = 1000


def labels_of(path: Path, card: ModelCard, schema: Schema, say: Callable[[str], None]) -> dict[bytes, int]:
    """The labels of a file of examples, as `evaluate` takes it. Of one example twice the later label counts.

    Raises `DataError`.
    """
    reader = open_reader(path, card.layout)
    binding = Binding(
        _signature(schema),
        reader.name,
        row_word=reader.row_word,
        layout=card.layout,
        label_kind=reader.label_kind,
        say=say,
    )
    found: dict[bytes, int] = {}
    first = 0
    for table in reader.tables(_ROWS):
        given = binding.inputs(table, first)
        labels = binding.labels(table, first, card.class_names, len(card.class_names))
        inputs = inputs_of(given, schema)
        if inputs:
            found.update(zip(inputs.digests(), labels.tolist(), strict=True))
        first += len(labels)
    return found


def _signature(schema: Schema) -> Signature:
    """`serving_default` of docs/contracts.md, whose server need not be asked."""
    if schema.kind == "image":
        infos = [TensorInfo("images", "uint8", (-1, *schema.shape))]
    elif schema.kind == "text":
        infos = [TensorInfo("text", "string", (-1,))]
    elif schema.kinds:
        infos = [
            TensorInfo(name, "string" if schema.kinds.get(name) == "category" else "float32", (-1,))
            for name in schema.columns
        ]
    else:
        infos = [TensorInfo("features", "float32", (-1, len(schema.columns)))]
    return Signature("serving_default", "", {info.name: info for info in infos}, {}, frozenset())
