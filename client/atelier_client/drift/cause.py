"""What a change is likely to come from, in the words of the features that people can read."""

from __future__ import annotations

from collections.abc import Sequence

from atelier_client.drift.column import ANSWERS, Column
from atelier_client.drift.verdict import Compared, Difference

# By feature of a picture or a text: what makes it rise, and what makes it fall.
_CAUSES = {
    "inverted": (
        "an inverted camera, or figures on another background",
        "figures on the background that training had less often",
    ),
    "mean": (
        "lighter pictures: exposure, or another background",
        "darker pictures: exposure, or another background",
    ),
    "contrast": ("more contrast: exposure, or noise", "less contrast: exposure, blur, or noise"),
    "ink area": ("larger figures, or noise", "smaller or fainter figures"),
    "words": ("longer texts", "shorter texts"),
    "unknown words": ("another subject, language or spelling", "texts nearer to the training texts"),
}
_MOST = 3
_TURNED = (
    "no feature of the pictures that can be read has changed: they may be turned or shifted, show other things, or "
    "some classes more often"
)


def moved_cell(difference: Difference) -> int:
    """The cell, of categories the category, whose share has changed most."""
    shares = [side.cells / side.examples for side in (difference.before, difference.now)]
    return int(abs(shares[0] - shares[1]).argmax())


def what(column: Column, cell: int) -> str:
    """The number that `Column.shown` gives, in words."""
    if column.kind == "category":
        return f"share of {column.label(cell)}"
    return "mean" if column.kind == "number" else "share"


def likely_causes(compared: Sequence[Compared]) -> list[str]:
    """What moved in the features that have changed, the strongest first; in the answers where no feature has."""
    changed = [
        (one.column, one.difference) for one in compared if one.verdict == "changed" and one.difference
    ]
    changed.sort(key=lambda pair: -abs(pair[1].distance.value))
    features = [pair for pair in changed if pair[0].group not in ANSWERS]
    if inverted := [pair for pair in features if pair[0].key == ("picture", "inverted")]:
        # Such a picture is lighter or darker too, which is no second cause.
        features = [*inverted, *(pair for pair in features if pair[0].name not in ("inverted", "mean"))]
    if features:
        return [_movement(*pair) + _words(*pair) for pair in features[:_MOST]]
    answers = [pair for pair in changed if pair[0].key == ("output", "predicted class")] or changed[:1]
    pictures = any(one.column.group == "picture" and one.difference for one in compared)
    return [_movement(*pair) + (f"; {_TURNED}" if pictures else "") for pair in answers]


def _movement(column: Column, difference: Difference) -> str:
    """What moved from where to where: `share inverted 0.02 -> 0.97`."""
    cell = moved_cell(difference)
    before, now = (column.shown(side, cell) for side in (difference.before, difference.now))
    name = "brightness" if column.key == ("picture", "mean") else column.name
    words = f"{name}: {what(column, cell)}" if column.kind == "category" else f"{what(column, cell)} {name}"
    return f"{words} {before:.3g} -> {now:.3g}"


def _words(column: Column, difference: Difference) -> str:
    causes = _CAUSES.get(column.name) if column.group in ("picture", "text") else None
    if causes is None:
        return ""
    rises = column.shown(difference.now, 0) >= column.shown(difference.before, 0)
    return f": {causes[0 if rises else 1]}"
