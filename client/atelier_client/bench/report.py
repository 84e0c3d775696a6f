"""The report of a load test: a table, CSV, JSON, and a page with plots as inline SVG."""

from __future__ import annotations

import csv
import html
import io
import math
import sys
from collections.abc import Sequence
from typing import Any

from atelier_client.bench.points import Point, name

_COLUMNS = ("p50", "p90", "p95", "p99", "p99.9", "mean", "max")
# From the Okabe-Ito palette, darkest first: the colors also differ when printed in gray.
_COLORS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_WIDTH = 640
_HEIGHT = 360
_MARGIN = 60


def print_points(points: Sequence[Point]) -> None:
    """The table on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "batch", "load", "requests/s", "rows/s", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "errors", "client"
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for point in points:
        table.add_row(
            str(point.batch),
            f"{point.rate:g}/s" if point.rate else f"x {point.concurrency}",
            f"{point.requests_per_s:,.0f}" + ("" if point.stable else " ~"),
            f"{point.rows_per_s:,.0f}",
            *(_number(point.latency_ms[key]) for key in ("p50", "p95", "p99", "p99.9")),
            _errors(point),
            f"{point.client_cpu:.0%}" + (f" of {point.processes}" if point.processes > 1 else ""),
        )
    # A file or a pipe has no width. The table needs about so many columns.
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def to_csv(points: Sequence[Point]) -> str:
    """One line for each point. Unknown percentiles are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = ["batch", "concurrency", "rate", "requests_per_s", "rows_per_s"]
    tails = ["errors", "requests", "windows", "stable", "processes", "client_cpu", "client_limited"]
    writer.writerow([*heads, *(f"{column}_ms" for column in _COLUMNS), *tails, "lag_mean_ms"])
    for point in points:
        plain = point.plain()
        plain["errors"] = sum(point.errors.values())
        values = [*(plain[head] for head in heads), *(point.latency_ms[column] for column in _COLUMNS)]
        values += [*(plain[tail] for tail in tails), (point.lag_ms or {}).get("mean")]
        writer.writerow(["" if value is None else value for value in values])
    return text.getvalue()


def to_html(report: dict[str, Any], points: Sequence[Point], warnings: Sequence[str]) -> str:
    """The page: plots, table, warnings. It needs no other file."""
    title = html.escape(f"Load test of {report['model']['name']} version {report['model']['version']}")
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td>{html.escape(cell)}</td>"
            for cell in (
                name(point),
                f"{point.requests_per_s:,.0f}",
                f"{point.rows_per_s:,.0f}",
                *(_number(point.latency_ms[column]) for column in _COLUMNS),
                _errors(point),
                "yes" if point.stable else "no",
                f"{point.client_cpu:.0%}",
            )
        )
        + "</tr>"
        for point in points
    )
    heads = [
        "load",
        "requests/s",
        "rows/s",
        *(f"{column} ms" for column in _COLUMNS),
        "errors",
        "stable",
        "client",
    ]
    notes = "".join(
        f"<p>{html.escape(text)}</p>" for text in [report.get("verdict") or "", *warnings] if text
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title><style>'
        "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
        "table{border-collapse:collapse}td,th{padding:.2em .6em;border-bottom:1px solid #ccc;text-align:right}"
        "td:first-child,th:first-child{text-align:left}td,th{white-space:nowrap}.scroll{overflow-x:auto}</style>"
        f"<h1>{title}</h1><p>{html.escape(report['model']['target'])}, {html.escape(report['measured_at'])}</p>{notes}"
        f'<div class="scroll">{plot(points)}</div><div class="scroll"><table>'
        f"<tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{rows}</table></div></html>\n"
    )


def plot(points: Sequence[Point]) -> str:
    """p99 latency over rows per second, a line for each batch size, logarithmic axes. Empty without two points."""
    known = [point for point in points if point.latency_ms["p99"] and point.rows_per_s]
    if len(known) < 2:
        return ""
    across = _Axis([point.rows_per_s for point in known], _MARGIN, _WIDTH - 20)
    up = _Axis([point.latency_ms["p99"] or 0 for point in known], _HEIGHT - _MARGIN, 20)
    parts = [
        f'<line x1="{_MARGIN}" y1="{up(tick):.1f}" x2="{_WIDTH - 20}" y2="{up(tick):.1f}" stroke="#ddd"/>'
        f'<text x="{_MARGIN - 6}" y="{up(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        for tick in up.ticks()
    ]
    parts += [
        f'<text x="{across(tick):.1f}" y="{_HEIGHT - _MARGIN + 18}" text-anchor="middle">{tick:,g}</text>'
        for tick in across.ticks()
    ]
    for number, batch in enumerate(sorted({point.batch for point in known})):
        color = _COLORS[number % len(_COLORS)]
        line = [point for point in known if point.batch == batch]
        path = " ".join(f"{across(p.rows_per_s):.1f},{up(p.latency_ms['p99'] or 0):.1f}" for p in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        for point in line:
            x = across(point.rows_per_s)
            y = up(point.latency_ms["p99"] or 0)
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}"><title>{name(point)}</title></circle>'
            )
        end = line[-1]
        x = across(end.rows_per_s)
        y = up(end.latency_ms["p99"] or 0)
        parts.append(
            f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="end" fill="{color}">batch {batch}</text>'
        )
    label_x = (_MARGIN + _WIDTH) // 2
    label_y = _HEIGHT - 14
    parts.append(f'<text x="{label_x}" y="{label_y}" text-anchor="middle">rows a second</text>')
    parts.append(f'<text x="16" y="{_HEIGHT // 2}" transform="rotate(-90 16 {_HEIGHT // 2})">p99, ms</text>')
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" aria-label="p99 latency over throughput" '
        f'font-size="12" font-family="sans-serif">{"".join(parts)}</svg>'
    )


class _Axis:
    """A logarithmic axis: converts values to pixels."""

    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        low = min(values)
        high = max(values)
        # Leave a little room at both ends; this also makes a range of a single value.
        self._low = math.log10(low * 0.8)
        self._high = math.log10(high * 1.25)
        self._first = first
        self._last = last

    def __call__(self, value: float) -> float:
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._first + share * (self._last - self._first)

    def ticks(self) -> list[float]:
        """1, 2, 5, 10, 20, 50 ... within the range."""
        steps = [
            base * 10.0**power
            for power in range(math.floor(self._low), math.ceil(self._high) + 1)
            for base in (1, 2, 5)
        ]
        return [step for step in steps if self._low <= math.log10(step) <= self._high]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _errors(point: Point) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(point.errors.items())) or "0"
