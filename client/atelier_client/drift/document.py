"""What was found as plain data: the content of drift.json. The page, the table and the gauges are made from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from atelier_client._printable import counted
from atelier_client.drift.cause import likely_causes, moved_cell, what
from atelier_client.drift.monitor import Judged, Monitored
from atelier_client.drift.verdict import FALSE_DISCOVERIES, THRESHOLDS, Compared, overall
from atelier_client.evaluation.intervals import wilson

# What stands beside every estimate.
BLIND = (
    "The estimate sees a change of what is asked, and no change of what is right (concept drift): it takes a "
    "confidence to be right as often as it was at training."
)
_DOUBTFUL = " The window is unlike its reference, so that this is doubtful here."


def document_of(found: Monitored, *, at: datetime) -> dict[str, Any]:
    """The whole document; times in UTC."""
    question = found.question
    shown = found.shown
    reference = question.reference
    return {
        "model": {"name": question.model, "version": question.version},
        "at": _text(at),
        "log": {
            "folder": str(question.log),
            "requests": found.requests,
            "other_versions": {str(version): count for version, count in sorted(found.others.items())},
        },
        "reference": {**reference.examples, "left_out": reference.left_out} if reference else None,
        "against": question.against,
        "every": question.every
        if isinstance(question.every, int)
        else f"{question.every.total_seconds():g}s",
        "thresholds": dict(THRESHOLDS),
        "false_discoveries": FALSE_DISCOVERIES,
        "verdict": found.verdict,
        "sentence": _sentence(found),
        "remarks": found.remarks,
        "shown": None if shown is None else found.windows.index(shown) + 1,
        "distributions": [_distribution(one) for one in shown.decisive] if shown else [],
        "windows": [_window(found, number, one) for number, one in enumerate(found.windows, 1)],
    }


def _sentence(found: Monitored) -> str:
    """One sentence: what the verdict is, of which window, and why."""
    shown = found.shown
    question = found.question
    asked = f"{question.model} version {question.version}" if question.version else question.model
    if shown is None:
        others = ", ".join(
            f"{count:,} of version {version}" if version else f"{count:,} that do not say their version"
            for version, count in sorted(found.others.items())
        )
        return f"The log {question.log} has no requests of {asked}" + (f", but {others}." if others else ".")
    number = found.windows.index(shown) + 1
    window = f"window {number} of {len(found.windows)} ({counted(shown.window.examples, 'example')})"
    against = "training (skew)" if question.against == "reference" else "the window before (drift)"
    if not shown.decisive:
        return f"Too few: the log has one window of {asked}, and none before it to compare with."
    if found.verdict == "changed":
        causes = "; ".join(likely_causes(shown.decisive))
        return f"Changed: {asked}, {window}, against {against}: {causes}."
    if found.verdict == "stable":
        count = len(found.windows)
        return f"Stable: {asked} in {counted(count, 'window')}, against {against}."
    few = [one for one in shown.decisive if one.decides and one.verdict == "too few"]
    names = ", ".join(one.column.name for one in few[:3]) + (", .." if len(few) > 3 else "")
    return f"Too few: {asked}, {window}, against {against}: more examples would tell of {names}."


def _window(found: Monitored, number: int, judged: Judged) -> dict[str, Any]:
    window = judged.window
    return {
        "number": number,
        "from": _text(window.first),
        "until": _text(window.last),
        "requests": window.requests,
        "examples": window.examples,
        "whole": window.whole,
        "verdict": judged.verdict if judged.decisive else None,
        "skew": _comparison(judged.skew),
        "drift": _comparison(judged.drift),
        "accuracy": _accuracy(found, judged),
    }


def _comparison(compared: Sequence[Compared] | None) -> dict[str, Any] | None:
    if compared is None:
        return None
    return {
        "verdict": overall(compared),
        "causes": likely_causes(compared),
        "columns": [_column(one) for one in compared],
    }


def _column(one: Compared) -> dict[str, Any]:
    column = one.column
    difference = one.difference
    found = difference.distance if difference else None
    shown: dict[str, Any] = {"what": None, "before": None, "now": None}
    if difference:
        cell = moved_cell(difference)
        shown = {
            "what": what(column, cell),
            "before": column.shown(difference.before, cell),
            "now": column.shown(difference.now, cell),
        }
    return {
        "name": column.name,
        "group": column.group,
        "measure": column.measure,
        "effect": found.value if found else None,
        "interval": list(found.interval) if found else None,
        "threshold": one.threshold,
        "resolution": found.resolution if found else None,
        "examples": difference.now.examples if difference else 0,
        "verdict": one.verdict,
        "decides": one.decides,
        **shown,
    }


def _distribution(one: Compared) -> dict[str, Any]:
    """The share of the examples in each cell, in both samples."""
    difference = one.difference
    sides = [
        (side.cells / side.examples).tolist()
        for side in ((difference.before, difference.now) if difference else ())
    ] or [[], []]
    labels = [one.column.label(cell) for cell in range(one.column.cells)]
    return {
        "name": one.column.name,
        "group": one.column.group,
        "cells": labels,
        "before": sides[0],
        "now": sides[1],
    }


def _accuracy(found: Monitored, judged: Judged) -> dict[str, Any]:
    window = judged.window
    estimated = band = realised = interval = None
    if found.calibration and window.confidences.examples:
        estimated, ends = found.calibration.estimate(window.confidences)
        band = list(ends)
    if window.labelled:
        realised = window.right / window.labelled
        interval = list(wilson(window.right, window.labelled))
    doubtful = estimated is not None and judged.skew is not None and overall(judged.skew) == "changed"
    return {
        "estimated": estimated,
        "band": band,
        "realised": realised,
        "interval": interval,
        "labelled": window.labelled,
        "note": None if estimated is None else BLIND + (_DOUBTFUL if doubtful else ""),
    }


def _text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")
