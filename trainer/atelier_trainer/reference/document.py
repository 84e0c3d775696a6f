"""The document of reference.json (docs/contracts.md, section 1)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from atelier_trainer.data.columns import Column
from atelier_trainer.data.dataset import DataSet, Examples
from atelier_trainer.reference import pictures, summaries, texts
from atelier_trainer.reference.calibration import calibration
from atelier_trainer.task import OUTPUTS

FORMAT = 1
# These bound the file: with them it stays under 4 MB whatever the data are.
MOST_COLUMNS = 500
MOST_CLASS_COLUMNS = 20
MOST_WORDS = 50_000


def reference(
    data_set: DataSet,
    answers: np.ndarray,
    *,
    model: str,
    run_id: str | None,
    words: Sequence[bytes] = (),
    prediction: str | None = None,
) -> dict[str, Any]:
    """What the test examples, which are not trained on, look like, and what the model says of them.

    `answers` are the exported model's for `data_set.test`, probabilities float32 [N,C] or numbers float32 [N]; `words`
    a text model's vocabulary, most frequent first; `prediction` the output of a regression, if it has another name.
    """
    regression = data_set.task == "regression"
    known = list(words[:MOST_WORDS])
    columns = (
        [summaries.number(prediction or OUTPUTS["regression"], "value", answers)]
        if regression
        else [*_outputs(data_set.class_names, answers)]
    )
    inputs = _inputs(data_set, known)
    columns += inputs[:MOST_COLUMNS]
    examples = data_set.test
    return {
        "format": FORMAT,
        "model": model,
        "run_id": run_id,
        "class_names": list(data_set.class_names),
        "examples": {"split": "test", "count": len(examples), "trained_on": False},
        "labels": []
        if regression
        else np.bincount(examples.labels, minlength=len(data_set.class_names)).tolist(),
        "columns": columns,
        "left_out": len(inputs[MOST_COLUMNS:]),
        "background": _background(examples) if data_set.kind == "image" else None,
        "vocabulary": [word.decode(errors="replace") for word in known],
        # Of a number there is no confidence, from which accuracy could be estimated.
        "calibration": None if regression else calibration(answers, examples.labels),
    }


def write_reference(path: Path, document: dict[str, Any]) -> None:
    """Write the document. Raises `OSError`."""
    path.write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")


def _outputs(names: Sequence[str], probabilities: np.ndarray) -> Iterator[dict[str, Any]]:
    yield summaries.classes("predicted class", names, probabilities.argmax(axis=1))
    yield summaries.number("confidence", "output", probabilities.max(axis=1))
    if len(names) <= MOST_CLASS_COLUMNS:
        for number, name in enumerate(names):
            yield summaries.number(f"probability of {name}", "output", probabilities[:, number])


def _inputs(data_set: DataSet, words: Sequence[bytes]) -> list[dict[str, Any]]:
    rows = data_set.test.inputs
    if data_set.kind == "image":
        read = pictures.features_of(rows)
        inverted = read.light_border != (_background(data_set.test) == "light")
        return [
            summaries.number("mean", "picture", read.mean),
            summaries.number("contrast", "picture", read.contrast),
            summaries.number("ink area", "picture", read.ink),
            summaries.share("inverted", "picture", inverted),
        ]
    if data_set.kind == "text":
        lengths, unknown = texts.features_of(rows, words)
        return [
            summaries.number("words", "text", lengths),
            summaries.number("unknown words", "text", unknown),
        ]
    if data_set.features:
        return [one for column in data_set.features for one in _of_column(column, rows[column.name])]
    return [summaries.number(name, "input", rows[:, place]) for place, name in enumerate(data_set.columns)]


def _of_column(column: Column, values: np.ndarray) -> Iterator[dict[str, Any]]:
    if column.kind == "category":
        counts = Counter(values.tolist())
        missing = counts.pop("", 0)
        yield summaries.category(column.name, "input", counts, missing)
        return
    yield summaries.number(column.name, "input", values)
    yield summaries.share(f"{column.name} (missing)", "input", np.isnan(values))


def _background(examples: Examples) -> str:
    """What most pictures have at their border: light or dark."""
    light = pictures.features_of(examples.inputs).light_border
    return "light" if 2 * np.count_nonzero(light) > len(light) else "dark"
