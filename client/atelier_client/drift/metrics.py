"""Gauges in Prometheus' text format, from a drift.json (docs/contracts.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atelier_client._printable import printable


def as_prometheus(document: Mapping[str, Any]) -> str:
    """The newest window's effects, verdicts and accuracies. An unknown one has no line."""
    windows = [one for one in document["windows"] if one["whole"]] or document["windows"]
    model = {"model_name": document["model"]["name"], "model_version": document["model"]["version"]}
    series: dict[str, tuple[str, list[tuple[dict[str, Any], float]]]] = {
        "atelier_drift": ("Distance of a column from its reference, in the newest window.", []),
        "atelier_drift_changed": ("1 when the column has changed, else 0.", []),
        "atelier_estimated_accuracy": ("Accuracy of the newest window, estimated without labels (CBPE).", []),
        "atelier_realised_accuracy": (
            "Accuracy of the newest window on the examples whose label is known.",
            [],
        ),
    }
    for window in windows[-1:]:
        compared = window["skew" if document["against"] == "reference" else "drift"]
        for one in compared["columns"] if compared else ():
            if one["effect"] is None:
                continue
            labels = {**model, "column": one["name"]}
            series["atelier_drift"][1].append((labels, one["effect"]))
            series["atelier_drift_changed"][1].append((labels, float(one["verdict"] == "changed")))
        for name in ("estimated", "realised"):
            if window["accuracy"][name] is not None:
                series[f"atelier_{name}_accuracy"][1].append((model, window["accuracy"][name]))
    lines = []
    for name, (text, samples) in series.items():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
        lines += [f"{name}{{{_labels(labels)}}} {value:.10g}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, Any]) -> str:
    return ",".join(f'{name}="{_escaped(str(value))}"' for name, value in labels.items())


def _escaped(text: str) -> str:
    """As the text format asks: backslash, quote and line feed."""
    return printable(text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
