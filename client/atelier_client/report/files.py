"""The report for programs: JSON, CSV with one number a row, and JUnit XML for a continuous integration."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from atelier_client._printable import printable

# How spreadsheets tell a formula (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_COLUMNS = ("scope", "name", "metric", "value", "low", "high", "examples")


def as_csv(report: Mapping[str, Any]) -> str:
    """Every metric of the whole, the classes and the slices: value, 95 % interval, examples."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([_harmless(cell) for cell in row] for row in _rows(report))
    return text.getvalue()


def _harmless(cell: Any) -> Any:
    """A text that a spreadsheet does not take for a formula."""
    if not isinstance(cell, str):
        return cell
    text = printable(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text


def as_junit(report: Mapping[str, Any], conditions: Sequence[tuple[str, str | None]]) -> str:
    """A test suite with a case for each condition, told by its words and why it failed (None: it holds)."""
    model = report["model"]
    suite = f"evaluate {model['name']} version {model['version']}"
    failures = sum(reason is not None for _, reason in conditions)
    seconds = report["throughput"]["seconds"]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites tests="{len(conditions)}" failures="{failures}" time="{seconds}">',
        f'  <testsuite name={quoteattr(suite)} tests="{len(conditions)}" failures="{failures}" errors="0" '
        f'skipped="0" time="{seconds}" timestamp={quoteattr(report["environment"]["started_at"])}>',
        "    <properties>",
        *(
            f"      <property name={quoteattr(name)} value={quoteattr(repr(value))}/>"
            for name, value in report["metrics"].items()
        ),
        "    </properties>",
    ]
    for words, reason in conditions:
        case = f"    <testcase classname={quoteattr(model['name'])} name={quoteattr(words)}"
        if reason is None:
            lines.append(f"{case}/>")
        else:
            lines += [
                f"{case}>",
                f"      <failure message={quoteattr(reason)}>{escape(reason)}</failure>",
                "    </testcase>",
            ]
    # XML has no form for control characters.
    return printable("\n".join([*lines, "  </testsuite>", "</testsuites>", ""]))


def _rows(report: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    around = report["intervals"]
    for metric, value in report["metrics"].items():
        yield ("all", "", metric, value, *around[metric], report["dataset"]["examples"])
    for row in report["per_class"]:
        for metric, interval in row["intervals"].items():
            low_high = interval or ("", "")
            value = "" if row[metric] is None else row[metric]
            yield ("class", row["label"], metric, value, *low_high, row["support"])
    for row in report["slices"]:
        for metric, value in row.get("metrics", {}).items():
            yield ("slice", row["name"], metric, value, *row["intervals"][metric], row["examples"])
