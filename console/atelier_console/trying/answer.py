"""What one version answers, as plain data for a page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from atelier_client import Client, Prediction
from atelier_client.cli.prediction_rows import readable_rows

from atelier_console.inputs.given import Inputs
from atelier_console.models.served_model import Asked
from atelier_console.texts import say

# So many classes have a bar.
TOP = 5
_LONGEST_OUTPUTS = 4000


@dataclass(frozen=True)
class Answer:
    """`label` is the class, or the number of a model that answers a number alone.

    `probabilities` are of all classes by name, the most probable first; empty for a model that gives none.

    `outputs` are those of the first row by name, `text` those of all rows; `seconds` is the whole request's time.
    """

    asked: Asked
    label: str | None
    probabilities: dict[str, float]
    outputs: dict[str, Any] = field(repr=False)
    text: str = field(repr=False)
    seconds: float

    def document(self) -> dict[str, Any]:
        """For the page's script; `top` has name, probability (None for one that is no number) and its text."""
        top = [(name, value, _shown(value)) for name, value in list(self.probabilities.items())[:TOP]]
        return {
            "label": self.asked.label,
            "which": say("version", version=self.asked.version),
            "chosen": self.label,
            "sentence": say("chosen_label", label=self.label, share=top[0][2]) if top else self.label,
            # JSON has no form for NaN and infinity.
            "top": [[name, value if math.isfinite(value) else None, shown] for name, value, shown in top],
            "outputs": self.text,
            "latency": say("latency", milliseconds=1000 * self.seconds),
            "error": None,
        }


def failed(asked: Asked, error: Exception) -> dict[str, Any]:
    """The document of a version that could not answer."""
    return {"label": asked.label, "which": say("version", version=asked.version), "error": str(error)}


def ask(client: Client, asked: Asked, inputs: Inputs, method: str, class_names: Sequence[str]) -> Answer:
    """Send the inputs to a version. Raises `InputError` or `ServerError`."""
    if inputs.rows is not None:
        call = client.regress if method.endswith("regress") else client.classify
        prediction = call(inputs.rows, signature=inputs.signature, version=asked.version)
    else:
        prediction = client.predict(inputs.arrays, signature=inputs.signature, version=asked.version)
    rows = _rows(prediction, inputs)
    readable = readable_rows(prediction, range(rows), class_names, max(TOP, len(class_names), 1))
    first = readable[0] if readable else {"top": [], "label": None, "outputs": {}}
    probabilities = {str(name): float(value) for name, value in first["top"]}
    label = first["label"]
    value = _number(first["outputs"])
    if not probabilities and {"classes", "scores"} <= set(prediction):
        scores = zip(first["outputs"]["classes"], first["outputs"]["scores"], strict=True)
        probabilities = dict(sorted(scores, key=lambda item: -item[1]))
        label = next(iter(probabilities), None)
    if label is None and value is not None:
        label = value
    text = json.dumps(
        [row["outputs"] for row in readable] if rows > 1 else first["outputs"], indent=1, default=str
    )
    if len(text) > _LONGEST_OUTPUTS:
        text = f"{text[:_LONGEST_OUTPUTS]} .."
    return Answer(asked, label, probabilities, first["outputs"], text, sum(prediction.seconds))


def _number(outputs: Mapping[str, Any]) -> str | None:
    """The one number that the model answers, as of a regression; None when it answers other things too."""
    values = [
        value[0] if isinstance(value, list) and len(value) == 1 else value for value in outputs.values()
    ]
    return f"{values[0]:.6g}" if len(values) == 1 and isinstance(values[0], float) else None


def _shown(value: float) -> str:
    return say("share", percent=100 * value) if math.isfinite(value) else json.dumps(value)


def _rows(prediction: Prediction, inputs: Inputs) -> int:
    """How many rows the answer has for those sent; 1 where the outputs do not tell."""
    if inputs.rows is not None:
        return len(inputs.rows)
    lengths = {len(array) for array in prediction.values() if array.ndim}
    return lengths.pop() if len(lengths) == 1 else 1
