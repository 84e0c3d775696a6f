"""What the commands print for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from atelier_client._printable import printable
from atelier_client.responses import VersionStatus
from atelier_client.signature import Signature

if TYPE_CHECKING:
    from atelier_client.release.timeline import Period

_LOG_WIDTH = 160
# Of many classes the table shows those that moved most.
_MOVERS = 5
# The metrics that are printed with their intervals.
_SHOWN = {
    "classification": ("accuracy", "loss", "top_3_accuracy", "ece"),
    "regression": ("mae", "rmse", "r2", "median_absolute_error"),
    "multi_label": ("subset_accuracy", "micro_f1", "macro_f1"),
}
_IN_A_UNIT = ("mae", "rmse", "median_absolute_error")


def print_evaluation(report: Mapping[str, Any]) -> None:
    """The evaluation: the classes, the slices, the metrics with their 95 % intervals."""
    console = Console()
    metrics = report["metrics"]
    intervals = report["intervals"]
    model = report["model"]
    data = report["dataset"]
    kind = "test examples" if data["split"] else f"examples of {data['name']}"
    title = f"{model['name']} version {model['version']} on {data['examples']:,} {kind}"
    if report["partial"]:
        title += " (partial)"
    if report["task"] == "regression":
        console.print(_text(title))
    else:
        console.print(_classes(report, title))
    if report["slices"]:
        console.print(_slices(report["slices"]))
    for name in _SHOWN[report["task"]]:
        if name in metrics:
            low, high = intervals[name]
            console.print(
                f"{name:<22}{_value(name, metrics[name])}   95 %: {_value(name, low)} to {_value(name, high)}",
                highlight=False,
            )
    if report["task"] == "regression" and "r2" not in metrics:
        console.print("r2 is not defined: all labels are equal.", highlight=False)
    latency = report["latency_ms"]
    rate = report["throughput"]["examples_per_s"]
    console.print(
        f"{rate:,.0f} examples/s   request p50 {latency['p50']} ms, p95 {latency['p95']} ms, p99 {latency['p99']} ms",
        highlight=False,
    )
    trained = report["trained"]
    if trained["metrics"]:
        console.print(
            "trainer's own: "
            + "".join(
                f"{name} {_value(name, value)}   " for name, value in list(trained["metrics"].items())[:2]
            )
            + f"largest difference {trained['max_abs_diff']:.1e}",
            highlight=False,
        )
    skew = report["skew"]
    if skew["examples"] is not None:
        console.print(
            f"golden examples: {skew['mismatched_labels']} of {skew['examples']} labels differ, "
            f"values within {skew['max_abs_diff']:.1e}",
            highlight=False,
        )


def _classes(report: Mapping[str, Any], title: str) -> Table:
    """A row a class; areas only where they were measured."""
    metrics = report["metrics"]
    headings = {"precision": "precision", "recall": "recall", "f1": "F1"}
    if report["task"] == "classification":
        headings |= {"roc_auc": "ROC AUC", "pr_auc": "PR AUC"}
    table = Table("class", title=_text(title), title_justify="left")
    for heading in (*headings.values(), "examples"):
        table.add_column(heading, justify="right")
    for row in report["per_class"]:
        table.add_row(_text(row["label"]), *(_number(row[key]) for key in headings), f"{row['support']:,}")
    table.add_section()
    for kind, name in (("macro", "mean"), ("micro", "all together")):
        if any(f"{kind}_{key}" in metrics for key in headings):
            numbers = (_number(metrics.get(f"{kind}_{key}")) for key in headings)
            table.add_row(name, *numbers, f"{report['dataset']['examples']:,}")
    return table


def print_comparison(document: Mapping[str, Any]) -> None:
    """The comparison: the metrics of both versions, the classes that moved most, the verdict."""
    console = Console()
    model = document["model"]
    a, b = (model[side]["version"] for side in ("a", "b"))
    title = f"{model['name']} versions {a} and {b} on {document['dataset']['examples']:,} examples"
    table = Table("metric", title=_text(title), title_justify="left")
    for heading in (f"version {a}", f"version {b}", "difference", "95 %"):
        table.add_column(heading, justify="right")
    for row in document["metrics"]:
        low, high = row["interval"]
        table.add_row(
            row["name"],
            _value(row["name"], row["a"]),
            _value(row["name"], row["b"]),
            _value(row["name"], row["difference"], "+"),
            f"{_value(row['name'], low, '+')} to {_value(row['name'], high, '+')}",
        )
    table.add_section()
    for row in document.get("classes", ())[:_MOVERS]:
        low, high = row["interval"]
        table.add_row(
            _text(f"right in {row['label']}"),
            f"{row['a']:.4f}",
            f"{row['b']:.4f}",
            f"{row['difference']:+.4f}",
            f"{low:+.4f} to {high:+.4f}",
        )
    console.print(table)
    console.print(_text(document["verdict"]))


def print_verdict(document: Mapping[str, Any]) -> None:
    """The verdict of a gate (`Verdict.document()`): a row a check. The sentence is the caller's."""
    console = _wide_console()
    against = "" if document["stable"] is None else f" against version {document['stable']}"
    title = f"version {document['candidate']}{against} on {document['examples']:,} examples"
    table = Table("check", title=_text(title), title_justify="left")
    for heading in ("candidate", "stable", "change", "95 %"):
        table.add_column(heading, justify="right")
    table.add_column("wanted")
    table.add_column("outcome")
    for row in document["checks"]:
        change = row["kind"] == "change"
        interval = row["interval"]
        sign = "+" if change else ""
        outcome = row["outcome"].replace("_", " ")
        table.add_row(
            _text(row["what"]),
            _signed(row["candidate"]),
            _signed(row["stable"]),
            _signed(row["measured"], sign) if change else "",
            f"{_signed(interval[0], sign)} to {_signed(interval[1], sign)}" if interval else "",
            _text(row["wanted"]),
            f"{outcome}, observed" if row["observed"] and outcome != "observed" else outcome,
        )
    console.print(table)


def _slices(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The first metric of a slice with its interval, then the others."""
    names = list(dict.fromkeys(name for row in rows for name in row.get("metrics", {})))
    table = Table("slice")
    for heading in ("examples", *names[:1], *(["95 %"] if names else []), *names[1:], ""):
        table.add_column(heading, justify="right")
    for row in rows:
        if not row["examples"]:
            table.add_row(_text(row["name"]), "0")
            continue
        cells = []
        for name in names:
            there = name in row["metrics"]
            cells.append(_value(name, row["metrics"][name]) if there else "–")
            if name == names[0]:
                ends = [_value(name, end) for end in row["intervals"][name]] if there else []
                cells.append(" to ".join(ends))
        table.add_row(_text(row["name"]), f"{row['examples']:,}", *cells, row["differs"] or "")
    return table


def _text(value: object) -> Text:
    """Text from outside, made safe: it cannot control the terminal, and its brackets are no styles."""
    return Text(printable(str(value)))


def _value(name: str, value: float, sign: str = "") -> str:
    """An error in a label's unit with five digits, any other metric with four decimals."""
    return f"{value:{sign}.5g}" if name in _IN_A_UNIT else f"{value:{sign}.4f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _signed(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.4f}"


def print_status(model: str, entries: Sequence[VersionStatus], labels: Mapping[str, int]) -> None:
    """One row a version, with the labels that name it."""
    table = Table("version", "state", "labels", "error", title=model, title_justify="left")
    for entry in entries:
        names = ", ".join(label for label, version in labels.items() if version == entry.version)
        table.add_row(str(entry.version), entry.state.name, names, _text(entry.error))
    Console().print(table)


def print_metadata(model: str, signatures: Mapping[str, Signature]) -> None:
    """One row a tensor."""
    table = Table("signature", "direction", "tensor", title=model, title_justify="left")
    for signature in signatures.values():
        table.add_section()
        for direction, tensors in (("input", signature.inputs), ("output", signature.outputs)):
            for info in tensors.values():
                table.add_row(_text(signature.name), direction, _text(info))
    # Brackets mean a shape here, not a style.
    Console(markup=False).print(table)


def print_predictions(rows: Sequence[Mapping[str, Any]]) -> None:
    """One row an example: the label and the most probable classes, or all outputs of a model that has no classes."""
    table = Table("row", "label", "most probable")
    for row in rows:
        best = ", ".join(f"{name} {probability:.1%}" for name, probability in row["top"])
        if not best:
            best = ", ".join(f"{name} {value}" for name, value in row["outputs"].items())
        table.add_row(_text(row["row"]), _text("" if row["label"] is None else row["label"]), _text(best))
    Console().print(table)


def print_history(model: str, periods: Sequence[Period]) -> None:
    """Which version was stable when: a row a period, in this machine's time."""
    console = _wide_console()
    table = Table("version", title=_text(f"{model}: what was stable"), title_justify="left")
    for heading in ("from", "until"):
        table.add_column(heading, no_wrap=True)
    table.add_column("for", justify="right", no_wrap=True)
    table.add_column("why")
    table.add_column("who")
    now = datetime.now(UTC)
    for period in periods:
        entry = period.entry
        why = (
            f"{entry.event.replace('_', ' ')}: {entry.reason}"
            if entry.reason
            else entry.event.replace("_", " ")
        )
        table.add_row(
            str(period.version),
            _clock(period.begin),
            _clock(period.end) if period.end else "now",
            _duration(period.seconds(now)),
            _text(why),
            _text(entry.who),
        )
    console.print(table)


def _clock(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _duration(seconds: float) -> str:
    """Two units at most: 45 s, 12 min, 3 h 5 min, 2 d 4 h."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // (24 * 60)} d {minutes // 60 % 24} h"


def _wide_console() -> Console:
    """For tables of sentences: in a pipe or a log they get the width that no terminal limits."""
    return Console() if sys.stdout.isatty() else Console(width=_LOG_WIDTH)
