"""The HTML report: one file that needs no other files, for screen and paper. Its charts are inline SVG (charts.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atelier_client.evaluation.classification.findings import ClassificationFindings
from atelier_client.evaluation.classification.mistakes import Mistake
from atelier_client.evaluation.metric_names import limits
from atelier_client.evaluation.multi_label.findings import MultiLabelFindings, WrongSet
from atelier_client.evaluation.multi_label.metrics import THRESHOLD
from atelier_client.evaluation.passes.evaluate import EvaluationResult
from atelier_client.evaluation.regression.findings import Miss, RegressionFindings
from atelier_client.report import charts
from atelier_client.report.example import shown
from atelier_client.report.template import render

# With more classes the confusion matrix is too large to draw.
MOST_CLASSES = 30
_TITLES = {
    "accuracy": "accuracy",
    "top_3_accuracy": "top-3 accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "macro_roc_auc": "ROC AUC, mean of classes",
    "macro_pr_auc": "PR AUC, mean of classes",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "ece": "calibration error (ECE)",
    "loss": "loss",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R2",
    "median_absolute_error": "median absolute error",
    "subset_accuracy": "subset accuracy",
}
_TILES = {
    "classification": (
        "accuracy",
        "top_3_accuracy",
        "macro_f1",
        "macro_roc_auc",
        "macro_pr_auc",
        "ece",
        "loss",
    ),
    "binary": ("accuracy", "precision", "recall", "f1", "roc_auc", "pr_auc", "ece", "loss"),
    "regression": ("mae", "rmse", "r2", "median_absolute_error"),
    "multi_label": ("subset_accuracy", "micro_f1", "macro_f1"),
}


def as_html(
    report: Mapping[str, Any], result: EvaluationResult, conditions: Sequence[tuple[str, str | None]]
) -> str:
    """The page. Each of `conditions` is its text and why it failed, or None."""
    asked = result.question
    values, positive = _of_task(report, result)
    tiles = _TILES["binary" if positive else asked.task]
    return render(
        f"report_{asked.task}.html.j2",
        report=report,
        positive=positive,
        tiles=[(name, _TITLES[name]) for name in tiles if name in report["metrics"]],
        titles=_TITLES,
        written=_written,
        conditions=conditions,
        latency=charts.latency(report["latency_histogram"], report["latency_ms"]),
        slices=charts.slice_rows(report["slices"], report["metrics"], asked.main, asked.shown),
        **values,
    )


def _of_task(report: Mapping[str, Any], result: EvaluationResult) -> tuple[dict[str, Any], str | None]:
    """What the task's template needs beside the report, and the name of the positive class of two."""
    found = result.findings
    if isinstance(found, RegressionFindings):
        return {
            "points": charts.points(report["points"]),
            "residuals": charts.residuals(report["residuals"]),
            "worst": [_miss(miss) for miss in found.worst],
        }, None
    if isinstance(found, MultiLabelFindings):
        return {"worst": [_wrong_set(item, found.class_names) for item in found.worst]}, None
    assert isinstance(found, ClassificationFindings)
    names = found.class_names
    confusion = found.counts.confusion
    return {
        "names": names,
        "matrix": charts.confusion(confusion, names) if len(names) <= MOST_CLASSES else None,
        "confused": charts.most_confused(confusion, names),
        "classes": charts.class_bars(report["per_class"]),
        "calibration": charts.calibration(report["calibration"], found.counts.examples),
        "mistakes": [_mistake(mistake, names) for mistake in found.mistakes.worst],
    }, names[1] if len(names) == 2 else None


def _written(name: str, value: float, digits: int = 1) -> str:
    """A share in percent, anything else as a number of four or five digits."""
    if name in ("loss", "ece"):
        return f"{value:.4f}"
    if limits(name) == (0.0, 1.0):
        return f"{100 * value:.{digits}f}\N{THIN SPACE}%"
    return f"{value:.4g}" if name != "r2" else f"{value:.4f}"


def _place(index: int, step: int | None) -> str:
    return str(index) if step is None else f"{index}, step {step}"


def _mistake(mistake: Mistake, names: Sequence[str]) -> dict[str, Any]:
    guess = int(mistake.probabilities.argmax())
    return {
        "place": _place(mistake.index, mistake.step),
        **shown(mistake.inputs),
        "true": names[mistake.label],
        "guess": names[guess],
        "confidence": float(mistake.probabilities[guess]),
        "truth": float(mistake.probabilities[mistake.label]),
    }


def _miss(miss: Miss) -> dict[str, Any]:
    return {
        "place": _place(miss.index, miss.step),
        **shown(miss.inputs),
        "label": miss.label,
        "predicted": miss.predicted,
        "error": miss.error,
    }


def _wrong_set(item: WrongSet, names: Sequence[str]) -> dict[str, Any]:
    return {
        "place": _place(item.index, item.step),
        **shown(item.inputs),
        "labels": [name for name, has in zip(names, item.labels, strict=True) if has],
        "predicted": [
            name for name, value in zip(names, item.probabilities, strict=True) if value >= THRESHOLD
        ],
    }
