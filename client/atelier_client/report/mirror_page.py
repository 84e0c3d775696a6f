"""The page of a mirror: how the answers of a second version differ from those that callers got."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atelier_client.report.example import shown
from atelier_client.report.template import render

# An answer of many values is cut.
_VALUES = 6


def as_html(document: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> str:
    """The page. `inputs` are the inputs of each example, as arrays."""
    rows = zip(document["examples"], inputs, strict=False)
    return render(
        "mirror.html.j2",
        document=document,
        failed=sum(document["requests"]["failed"].values()),
        examples=[{**example, **shown(row), "changes": _changes(example)} for example, row in rows],
    )


def _changes(example: Mapping[str, Any]) -> list[dict[str, str]]:
    """Both answers of each output that differs in the row, as text."""
    ours, theirs = example["fallback"], example["mirror"]
    return [
        {"name": name, "fallback": _text(ours.get(name)), "mirror": _text(theirs.get(name))}
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    ]


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return ", ".join(map(_text, value[:_VALUES])) + (", …" if len(value) > _VALUES else "")
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:100]
