"""The report for programs: CSV with one number in each row, and JUnit XML for continuous integration."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from atelier_client._printable import printable

# A spreadsheet takes a text that starts with one of these for a formula (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_COLUMNS = ("scope", "name", "metric", "value", "low", "high", "examples")


def as_csv(report: Mapping[str, Any]) -> str:
    """Every metric of all examples, of each class and of each slice: value, 95 % interval, number of examples."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([_escape_formula(cell) for cell in row] for row in _rows(report))
    return text.getvalue()


def _escape_formula(cell: Any) -> Any:
    """The text in a form that a spreadsheet does not take for a formula."""
    if not isinstance(cell, str):
        return cell
    text = printable(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text


def as_junit(report: Mapping[str, Any], conditions: Sequence[tuple[str, str | None]]) -> str:
    """A test suite with a case for each condition. A condition is its text and why it failed, or None."""
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
    # XML cannot contain control characters.
    return printable("\n".join([*lines, "  </testsuite>", "</testsuites>", ""]))


def _rows(report: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    intervals = report["intervals"]
    for metric, value in report["metrics"].items():
        yield ("all", "", metric, value, *intervals[metric], report["dataset"]["examples"])
    for row in report.get("per_class", ()):
        for metric, interval in row["intervals"].items():
            low_high = interval or ("", "")
            value = "" if row[metric] is None else row[metric]
            yield ("class", row["label"], metric, value, *low_high, row["support"])
    for row in report["slices"]:
        for metric, value in row.get("metrics", {}).items():
            yield ("slice", row["name"], metric, value, *row["intervals"][metric], row["examples"])
