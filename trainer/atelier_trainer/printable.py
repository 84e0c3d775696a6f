"""Text from users' files on a terminal: control characters are printed as escapes, so they have no effect."""

from __future__ import annotations

import sys


def printable(text: str) -> str:
    """The text with its control characters written as escapes, except line ends and tabs."""
    return "".join(
        character
        if character.isprintable() or character in "\n\t"
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def say(text: str) -> None:
    """A line for people, on stderr."""
    print(printable(text), file=sys.stderr, flush=True)
