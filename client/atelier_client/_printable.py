"""Makes text from outside (labels, server texts, file names) safe to print: it cannot control the terminal."""

from __future__ import annotations

import re

# Control characters (except line end and tab), and the characters that change the direction of writing.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """The text, with these characters escaped as in Python (`\\x1b`)."""
    return _STEERING.sub(lambda match: ascii(match[0])[1:-1], text)


def counted(number: int, word: str) -> str:
    """A number with its noun: `1 record`, `2,000 records`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
