"""The HTML report: one file that needs no other files, for screen and paper. Its charts are inline SVG (charts.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atelier_client.evaluation.evaluate import EvaluationResult
from atelier_client.evaluation.mistakes import Mistake
from atelier_client.report import charts
from atelier_client.report.example import shown
from atelier_client.report.template import render

# With more classes the confusion matrix is too large to draw.
MOST_CLASSES = 30
_TILES = (
    ("accuracy", "accuracy"),
    ("top_3_accuracy", "top-3 accuracy"),
    ("macro_f1", "macro F1"),
    ("macro_roc_auc", "ROC AUC, mean of classes"),
    ("macro_pr_auc", "PR AUC, mean of classes"),
    ("ece", "calibration error (ECE)"),
    ("loss", "loss"),
)
_BINARY_TILES = (
    ("accuracy", "accuracy"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("f1", "F1"),
    ("roc_auc", "ROC AUC"),
    ("pr_auc", "PR AUC"),
    ("ece", "calibration error (ECE)"),
    ("loss", "loss"),
)


def as_html(
    report: Mapping[str, Any], result: EvaluationResult, conditions: Sequence[tuple[str, str | None]]
) -> str:
    """The page. Each of `conditions` is its text and why it failed, or None."""
    names = result.class_names
    binary = len(names) == 2
    return render(
        "report.html.j2",
        report=report,
        names=names,
        positive=names[1] if binary else None,
        tiles=[tile for tile in (_BINARY_TILES if binary else _TILES) if tile[0] in report["metrics"]],
        conditions=conditions,
        matrix=charts.confusion(result.counts.confusion, names) if len(names) <= MOST_CLASSES else None,
        confused=charts.most_confused(result.counts.confusion, names),
        classes=charts.class_bars(report["per_class"]),
        calibration=charts.calibration(report["calibration"], report["dataset"]["examples"]),
        latency=charts.latency(report["latency_histogram"], report["latency_ms"]),
        slices=charts.slice_rows(report["slices"], report["metrics"]["accuracy"]),
        mistakes=[_mistake(mistake, names) for mistake in result.mistakes.worst],
    )


def _mistake(mistake: Mistake, names: Sequence[str]) -> dict[str, Any]:
    guess = int(mistake.probabilities.argmax())
    return {
        "index": mistake.index,
        **shown(mistake.inputs),
        "true": names[mistake.label],
        "guess": names[guess],
        "confidence": float(mistake.probabilities[guess]),
        "truth": float(mistake.probabilities[mistake.label]),
    }
