"""Which names of folders are versions: whole numbers that fit an int64, in the digits 0 to 9."""

from __future__ import annotations

_LARGEST = 2**63 - 1


def is_number(name: str) -> bool:
    """True for digits alone, however large the number; `isdigit` also takes other scripts and superscripts."""
    return name.isascii() and name.isdigit()


def is_version(name: str) -> bool:
    """True for the number of a version that a server would load."""
    return is_number(name) and len(name.lstrip("0")) < 20 and int(name) <= _LARGEST
