"""What the commands print for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from atelier_client.messages import VersionStatus
from atelier_client.signature import Signature


def print_evaluation(report: Mapping[str, Any]) -> None:
    """The evaluation: the metrics, then the classes."""
    console, metrics = Console(), report["metrics"]
    model, data = report["model"], report["dataset"]
    title = f"{model['name']} version {model['version']} on {data['examples']:,} {data['split']} examples"
    table = Table("class", title=title, title_justify="left")
    for name in ("precision", "recall", "F1", "examples"):
        table.add_column(name, justify="right")
    for row in report["per_class"]:
        table.add_row(
            row["label"], *(f"{row[key]:.3f}" for key in ("precision", "recall", "f1")), f"{row['support']:,}"
        )
    table.add_section()
    means = (f"{metrics[f'macro_{key}']:.3f}" for key in ("precision", "recall", "f1"))
    table.add_row("mean", *means, f"{data['examples']:,}")
    console.print(table)
    top_3 = f"   top-3 {metrics['top_3_accuracy']:.4f}" if "top_3_accuracy" in metrics else ""
    latency, rate = report["latency_ms"], report["throughput"]["examples_per_s"]
    console.print(
        f"accuracy {metrics['accuracy']:.4f}   loss {metrics['loss']:.4f}{top_3}\n"
        f"{rate:,.0f} examples/s   request p50 {latency['p50']} ms, p95 {latency['p95']} ms, p99 {latency['p99']} ms",
        highlight=False,
    )
    trained = report["trained"]
    if trained["metrics"]:
        console.print(
            f"trainer's own: accuracy {trained['metrics']['accuracy']:.4f}   loss {trained['metrics']['loss']:.4f}   "
            f"largest difference {trained['max_abs_diff']:.1e}",
            highlight=False,
        )
    skew = report["skew"]
    if skew["examples"] is not None:
        console.print(
            f"golden examples: {skew['mismatched_labels']} of {skew['examples']} labels differ, "
            f"values within {skew['max_abs_diff']:.1e}",
            highlight=False,
        )


def print_status(model: str, entries: Sequence[VersionStatus]) -> None:
    """One row a version."""
    table = Table("version", "state", "error", title=model, title_justify="left")
    for entry in entries:
        table.add_row(str(entry.version), entry.state.name, entry.error)
    Console().print(table)


def print_metadata(model: str, signatures: Mapping[str, Signature]) -> None:
    """One row a tensor."""
    table = Table("signature", "direction", "tensor", title=model, title_justify="left")
    for signature in signatures.values():
        table.add_section()
        for direction, specs in (("input", signature.inputs), ("output", signature.outputs)):
            for spec in specs.values():
                table.add_row(signature.name, direction, str(spec))
    # A name in brackets is a shape here, not a style.
    Console(markup=False).print(table)


def print_predictions(rows: Sequence[Mapping[str, Any]]) -> None:
    """One row an example: the label, and the most probable classes."""
    table = Table("row", "label", "most probable")
    for row in rows:
        best = ", ".join(f"{name} {probability:.1%}" for name, probability in row["top"])
        table.add_row(str(row["row"]), str(row["label"]), best)
    Console().print(table)
