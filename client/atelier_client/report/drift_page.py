"""The page about drift: one row a column, with both distributions as small pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atelier_client.report.template import render

# The size of a small picture, in the units of its viewBox.
WIDTH, HEIGHT = 180.0, 36.0
_MEASURES = {
    "jensen_shannon": "Jensen-Shannon distance, 0 to 1",
    "wasserstein": "Wasserstein distance in standard deviations of the reference",
    "rate": "difference of the rates",
}


def as_html(document: Mapping[str, Any]) -> str:
    """The page of a drift.json: the verdict, the accuracies, the columns of the window shown, all windows."""
    shown = document["windows"][document["shown"] - 1] if document["shown"] else None
    skew = document["against"] == "reference"
    compared = shown[("skew" if skew else "drift")] if shown else None
    pictures = document["distributions"]
    columns = compared["columns"] if compared else []
    return render(
        "drift.html.j2",
        document=document,
        window=shown,
        rows=[
            {**column, "bars": bars(picture["cells"], picture["before"], picture["now"])}
            for column, picture in zip(columns, pictures, strict=True)
        ],
        before="training" if skew else "the window before",
        measures=_MEASURES,
        other=shown["drift" if skew else "skew"] if shown else None,
        other_name="the window before (drift)" if skew else "training (skew)",
        width=WIDTH,
        height=HEIGHT,
    )


def bars(cells: Sequence[str], before: Sequence[float], now: Sequence[float]) -> list[dict[str, float | str]]:
    """A pair of bars for each cell that has examples in one of the two samples; both to the same scale."""
    ours, theirs = (list(side) or [0.0] * len(cells) for side in (before, now))
    filled = [place for place in range(len(cells)) if ours[place] or theirs[place]]
    tallest = max([*ours, *theirs], default=0.0) or 1.0
    step = WIDTH / max(len(filled), 1)
    return [
        {
            "x": step * at,
            "width": max(step - 1, 0.5),
            "before": HEIGHT * ours[place] / tallest,
            "now": HEIGHT * theirs[place] / tallest,
            "text": f"{cells[place]}: {100 * ours[place]:.1f} %, now {100 * theirs[place]:.1f} %",
        }
        for at, place in enumerate(filled)
    ]
