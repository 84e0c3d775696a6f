"""What the command `drift` prints for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from atelier_client._printable import printable

# In a pipe or a log no terminal limits the width.
_LOG_WIDTH = 160


def print_drift(document: Mapping[str, Any]) -> None:
    """A drift.json: a row a column of the window shown, the windows' accuracies, the sentence."""
    console = Console() if sys.stdout.isatty() else Console(width=_LOG_WIDTH)
    model = document["model"]
    skew = document["against"] == "reference"
    shown = document["windows"][document["shown"] - 1] if document["shown"] else None
    compared = shown and shown["skew" if skew else "drift"]
    if shown and compared:
        title = (
            f"{model['name']} version {model['version']}, window {shown['number']} of {len(document['windows'])}: "
            f"{shown['examples']:,} examples from {shown['from'][:19]}"
        )
        table = Table("column", title=_text(title), title_justify="left")
        for heading in ("distance", "95 %", "threshold"):
            table.add_column(heading, justify="right")
        for heading in ("verdict", "", "training" if skew else "before", "now"):
            table.add_column(heading, justify="right" if heading in ("training", "before", "now") else "left")
        for row in compared["columns"]:
            interval = row["interval"]
            table.add_row(
                _text(row["name"]),
                "" if row["effect"] is None else _number(row["effect"]),
                f"{_number(interval[0])} to {_number(interval[1])}" if interval else "",
                f"{row['threshold']:g}",
                row["verdict"] if row["decides"] else f"{row['verdict']} (explains)",
                _text(row["what"] or "nothing to compare"),
                "" if row["before"] is None else f"{row['before']:.4g}",
                "" if row["now"] is None else f"{row['now']:.4g}",
            )
        console.print(table)
    if shown:
        _print_accuracy(console, shown["accuracy"])
    console.print(_text(document["sentence"]), soft_wrap=True)


def _print_accuracy(console: Console, accuracy: Mapping[str, Any]) -> None:
    for name, ends, words in (("estimated", "band", "without labels"), ("realised", "interval", "")):
        if accuracy[name] is None:
            continue
        low, high = accuracy[ends]
        of = words or f"on {accuracy['labelled']:,} examples with a label"
        console.print(
            f"{name} accuracy {accuracy[name]:.4f}   95 %: {low:.4f} to {high:.4f}   {of}", highlight=False
        )
    if accuracy["note"]:
        console.print(_text(accuracy["note"]), soft_wrap=True)


def _number(value: float) -> str:
    """With four decimals; a large one with four digits."""
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


def _text(value: object) -> Text:
    """Text from outside, made safe: it cannot control the terminal, and its brackets are no styles."""
    return Text(printable(str(value)))
