"""The HTML report: one file that needs no other files, for screen and paper. Its charts are inline SVG (charts.py)."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atelier_client._printable import printable
from atelier_client.data.image_file import dark_background
from atelier_client.evaluation.evaluate import EvaluationResult
from atelier_client.evaluation.mistakes import Mistake
from atelier_client.report import charts

LONGEST_TEXT = 400
_VALUES = 12
# A larger picture is thinned to every n-th pixel, so that the page stays small.
_PIXELS = 128
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
    source = (
        resources.files("atelier_client.report")
        .joinpath("templates/report.html.j2")
        .read_text(encoding="utf-8")
    )
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = _percent
    names = result.class_names
    binary = len(names) == 2
    page = environment.from_string(source).render(
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
    # HTML has no form for control characters, and those that turn the direction of writing would turn the page's.
    return printable(page)


def _percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}\N{THIN SPACE}%"


def _mistake(mistake: Mistake, names: Sequence[str]) -> dict[str, Any]:
    guess = int(mistake.probabilities.argmax())
    return {
        "index": mistake.index,
        **_shown(mistake.inputs),
        "true": names[mistake.label],
        "guess": names[guess],
        "confidence": float(mistake.probabilities[guess]),
        "truth": float(mistake.probabilities[mistake.label]),
    }


def _shown(inputs: Mapping[str, Any]) -> dict[str, str | None]:
    """How the page shows an example: a picture when it is one, else text."""
    parts = []
    for name, value in inputs.items():
        if isinstance(value, (bytes, str)):
            parts.append(_value(value))
            continue
        array = np.asarray(value)
        picture = _pixels(array)
        if picture is not None:
            return {"picture": data_uri(picture), "text": None}
        values = ", ".join(_value(item) for item in array.ravel()[:_VALUES].tolist())
        parts.append(f"{name}: {values}" + (", …" if array.size > _VALUES else ""))
    return {"picture": None, "text": "; ".join(parts)}


def _value(item: Any) -> str:
    """A text, cut where it is long, a number with four digits, or a truth value."""
    if isinstance(item, (bytes, str)):
        text = item.decode(errors="replace") if isinstance(item, bytes) else item
        return text[:LONGEST_TEXT] + (" …" if len(text) > LONGEST_TEXT else "")
    return str(item) if isinstance(item, bool) else f"{item:.4g}"


def data_uri(pixels: NDArray[Any]) -> str:
    """uint8 [height, width] or [height, width, 1|3|4] as a PNG in a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).save(
        buffer, "PNG"
    )
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _pixels(array: NDArray[Any]) -> NDArray[Any] | None:
    """The array as uint8 pixels when it looks like a picture, else None."""
    if (
        array.ndim not in (2, 3)
        or (array.ndim == 3 and array.shape[2] not in (1, 3, 4))
        or min(array.shape[:2]) < 2
    ):
        return None
    if array.dtype.kind == "f":
        # `not` also holds for NaN.
        if not (array.min() >= 0 and array.max() <= 255):
            return None
        array = (array * (255 if array.max() <= 1 else 1)).astype(np.uint8)
    elif array.dtype != np.uint8:
        return None
    step = math.ceil(max(array.shape[:2]) / _PIXELS)
    array = array[::step, ::step]
    # The page has a light background, so the drawing must be dark.
    gray = array.ndim == 2 or array.shape[2] == 1
    return 255 - array if gray and dark_background(array[None]) else array
