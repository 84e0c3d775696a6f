"""Text from elsewhere (labels, server texts, file names) as it may be shown: no sign in it steers the terminal."""

from __future__ import annotations

import re

# Control characters but the line end and the tab, and those that turn the direction of writing.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """The text with such signs written as Python writes them (`\\x1b`)."""
    return _STEERING.sub(lambda match: ascii(match[0])[1:-1], text)
