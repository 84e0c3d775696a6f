"""Predictions as plain rows: for a classifier the label and the most probable classes, and every output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from atelier_client.responses import Prediction


def readable_rows(
    prediction: Prediction,
    names: Sequence[int | str],
    class_names: Sequence[str],
    top: int,
    measured: str | None = None,
) -> list[dict[str, Any]]:
    """One mapping a row: `row` (its name), `label`, `top` ([class, probability], best first), `outputs`.

    `measured` is the output that the model card of an imported model names; with classes, it has their probabilities.
    """
    chosen = measured if measured is not None and class_names else "probabilities"
    return [
        _row(prediction, index, len(names), name, class_names, top, chosen)
        for index, name in enumerate(names)
    ]


def _row(
    prediction: Prediction,
    index: int,
    rows: int,
    name: int | str,
    class_names: Sequence[str],
    top: int,
    chosen: str,
) -> dict[str, Any]:
    outputs = {
        key: _plain(array[index]) for key, array in prediction.items() if array.ndim and len(array) == rows
    }
    # A constant output, or one value for all rows, is shown with each row.
    outputs |= {key: _plain(array) for key, array in prediction.items() if key not in outputs}
    probabilities = outputs.get(chosen, [])
    if isinstance(probabilities, list) and len(probabilities) == 1 and len(class_names) == 2:
        (probabilities,) = probabilities
    if isinstance(probabilities, float):
        probabilities = [1 - probabilities, probabilities]
    if not isinstance(probabilities, list) or not all(isinstance(value, float) for value in probabilities):
        probabilities = []
    order = sorted(range(len(probabilities)), key=lambda item: -probabilities[item])
    named = len(class_names) == len(probabilities)
    label = outputs.get("label")
    # The label output tells whether `class_names` are really the names of this model's classes.
    if order and named and label is not None and label != class_names[order[0]]:
        named = False
    best = [(class_names[item] if named else str(item), probabilities[item]) for item in order[:top]]
    if best and not named and label is not None:
        # The server names only the best class. The others get "class 3", not "3", which may be the name of a class.
        best = [(label, best[0][1]), *((f"class {name}", value) for name, value in best[1:])]
    if label is None and best:
        label = best[0][0]
    return {"row": name, "label": label, "top": best, "outputs": outputs}


def _plain(value: Any) -> Any:
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, list):
        return [_plain(item) for item in plain]
    return plain.decode(errors="replace") if isinstance(plain, bytes) else plain
