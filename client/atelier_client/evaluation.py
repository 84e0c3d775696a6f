"""Evaluating what is served: the test split through the wire, the metrics, the skew, the report data."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client import metrics, skew
from atelier_client.client import Client
from atelier_client.errors import InputError
from atelier_client.examples import Examples, read_test_split
from atelier_client.model_card import ModelCard, read_card, read_golden


@dataclass(frozen=True)
class Evaluation:
    """The report data (written as evaluation.json), and what the pictures of the report are drawn from."""

    report: dict[str, Any]
    examples: Examples
    probabilities: NDArray[Any]
    class_names: tuple[str, ...]
    verdict: str | None


def evaluate(
    client: Client, data: Path, models: Path, *, version: int | None = None, label: str | None = None
) -> Evaluation:
    """Evaluate one version, chosen at the start and asked for by every request. Raises `ClientError`.

    `data` is the data folder. `models` is the model repository, for the model card and the golden examples; without it
    the model is taken for one of Fashion-MNIST, and the skew is not known.
    """
    if version is None:
        version = client.version_of(label) if label is not None else client.newest_available()
    folder = models / client.model / str(version)
    card = read_card(folder)
    examples, names = read_test_split(data, card), card.class_names
    started = time.perf_counter()
    answer = client.predict(examples.inputs, outputs=["probabilities"], version=version)
    elapsed = time.perf_counter() - started
    probabilities = answer["probabilities"]
    if probabilities.ndim != 2 or probabilities.shape[1] != len(names) or examples.labels.max() >= len(names):
        raise InputError(
            f"The model answers probabilities of shape {list(probabilities.shape)}, but there are {len(names)} classes "
            f"and labels up to {examples.labels.max()}: the data set and the model do not belong together."
        )
    confusion = metrics.confusion_matrix(examples.labels, probabilities.argmax(axis=1), len(names))
    classes = metrics.per_class(confusion, names)
    skewed = skew.measure(client, version, read_golden(folder))
    measured = metrics.summary(probabilities, examples.labels, classes)
    report = {
        "model": {"name": client.model, "version": version, "label": label, "target": client.target},
        "dataset": {
            "name": card.data,
            "split": "test",
            "examples": len(examples.labels),
            "sha256": examples.sha256,
        },
        "metrics": measured,
        "trained": _against_the_trainer(measured, card),
        "per_class": classes,
        "confusion_matrix": confusion.tolist(),
        "latency_ms": metrics.percentiles(answer.seconds),
        "throughput": {
            "examples_per_s": round(len(examples.labels) / elapsed, 1),
            "requests_per_s": round(len(answer.seconds) / elapsed, 1),
        },
        "skew": skewed,
    }
    return Evaluation(report, examples, probabilities, names, skew.verdict(skewed))


def _against_the_trainer(measured: Mapping[str, float], card: ModelCard) -> dict[str, Any]:
    """The trainer's own metrics on the same examples, and the largest difference; both None without a model card."""
    shared = [name for name in measured if name in card.metrics]
    if not shared:
        return {"metrics": None, "max_abs_diff": None}
    own = {name: card.metrics[name] for name in shared}
    return {"metrics": own, "max_abs_diff": max(abs(measured[name] - own[name]) for name in shared)}


def worst_mistakes(evaluation: Evaluation, count: int) -> list[int]:
    """The wrongly classified examples with the least probability of the true class, worst first."""
    labels, probabilities = evaluation.examples.labels, evaluation.probabilities
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    order = np.argsort(probabilities[wrong, labels[wrong]], kind="stable")
    return [int(index) for index in wrong[order][:count]]


def write_json(report: dict[str, Any], path: Path) -> None:
    """Write evaluation.json in one step."""
    write_text(json.dumps(report, indent=1) + "\n", path)


def write_text(text: str, path: Path) -> None:
    """Replace a file in one step, so that nobody reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
