"""When two labels are equal (docs/contracts.md, section 2): numbers by their value, names by their text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")


def number_of(text: str) -> Decimal | None:
    """The value of a label that is written as a number, None of any other text."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def key(text: str) -> Decimal | str:
    """Two labels are equal when their keys are: the value of a number, the text of a name."""
    number = number_of(text)
    return text if number is None else number


def same_label(names: Sequence[str]) -> tuple[str, str] | None:
    """The first two names that are equal labels (`1` and `1.0`), None when all differ."""
    seen: dict[Decimal | str, str] = {}
    for name in names:
        if key(name) in seen:
            return seen[key(name)], name
        seen[key(name)] = name
    return None
