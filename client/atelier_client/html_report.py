"""The HTML report: one file that needs no other, for screen and paper."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from atelier_client.evaluation import Evaluation, worst_mistakes, write_text
from atelier_client.png import data_uri

MISTAKES = 24
LONGEST_TEXT = 400


def write_html(evaluation: Evaluation, path: Path) -> None:
    """Render the report in one step."""
    source = (
        resources.files("atelier_client").joinpath("templates/report.html.j2").read_text(encoding="utf-8")
    )
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = environment.from_string(source).render(
        report=evaluation.report,
        names=evaluation.class_names,
        verdict=evaluation.verdict,
        cells=_cells(evaluation.report["confusion_matrix"]),
        mistakes=[_mistake(evaluation, index) for index in worst_mistakes(evaluation, MISTAKES)],
    )
    write_text(page, path)


def _cells(matrix: list[list[int]]) -> list[dict[str, Any]]:
    """The matrix as cells with the share of the true class, which sets the shade; hits and misses scale apart."""
    misses = [
        count / max(sum(row), 1)
        for true, row in enumerate(matrix)
        for guess, count in enumerate(row)
        if guess != true
    ]
    largest = max(misses, default=0.0) or 1.0
    return [
        {
            "true": true,
            "guess": guess,
            "count": count,
            "share": count / max(sum(row), 1),
            "shade": count / max(sum(row), 1) if true == guess else count / max(sum(row), 1) / largest,
        }
        for true, row in enumerate(matrix)
        for guess, count in enumerate(row)
    ]


def _shown(evaluation: Evaluation, index: int) -> dict[str, Any]:
    """The example itself: a picture when it is one in gray, else words."""
    example = evaluation.examples.inputs[index]
    if isinstance(example, bytes):
        text = example.decode(errors="replace")
        return {"picture": None, "text": text[:LONGEST_TEXT] + (" …" if len(text) > LONGEST_TEXT else "")}
    if example.ndim == 2:
        # Dark on light, as clothes on paper.
        return {"picture": data_uri(255 - example), "text": None}
    values = ", ".join(f"{value:.4g}" for value in example.ravel()[:12])
    return {"picture": None, "text": values + (", …" if example.size > 12 else "")}


def _mistake(evaluation: Evaluation, index: int) -> dict[str, Any]:
    probabilities, label = evaluation.probabilities[index], int(evaluation.examples.labels[index])
    guess = int(probabilities.argmax())
    return {
        "index": index,
        **_shown(evaluation, index),
        "true": evaluation.class_names[label],
        "guess": evaluation.class_names[guess],
        "confidence": float(probabilities[guess]),
        "truth": float(probabilities[label]),
    }
