"""How two versions' answers to the same input differ, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from atelier_console.texts import say
from atelier_console.trying.answer import Answer


def sentence(first: Answer, second: Answer) -> str:
    """Labels and probabilities where both give them, else which outputs differ."""
    if not _comparable(first.probabilities, second.probabilities):
        names = [
            name
            for name in sorted({*first.outputs, *second.outputs})
            if not _equal(first.outputs.get(name), second.outputs.get(name))
        ]
        return say("other_outputs", names=", ".join(names)) if names else say("same_outputs")
    name, points = max(
        (
            (name, 100 * abs(value - second.probabilities[name]))
            for name, value in first.probabilities.items()
        ),
        key=lambda item: item[1],
    )
    if first.label == second.label:
        return say("same_label", label=first.label, points=points, name=name)
    return say(
        "other_label",
        first=first.asked.label or say("newest"),
        first_label=first.label,
        second=second.asked.label,
        second_label=second.label,
        points=points,
        name=name,
    )


def _comparable(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    """True for numbers of the same classes."""
    return (
        bool(first) and set(first) == set(second) and all(map(isfinite, (*first.values(), *second.values())))
    )


def _equal(first: Any, second: Any) -> bool:
    """True for equal values; numbers may differ by what float32 loses."""
    try:
        return bool(np.allclose(first, second, rtol=1e-5, atol=1e-6, equal_nan=True))
    except (TypeError, ValueError):
        return bool(first == second)
