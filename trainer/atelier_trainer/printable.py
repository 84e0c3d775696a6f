"""Text of others on a terminal: control characters are shown, not obeyed."""

from __future__ import annotations

import sys


def printable(text: str) -> str:
    """The text with every control character, but line ends and tabs, written as its escape."""
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else sign.encode("unicode_escape").decode("ascii")
        for sign in text
    )


def say(text: str) -> None:
    """A line for people, on stderr."""
    print(printable(text), file=sys.stderr, flush=True)
