"""A place in a file of settings, and the checks of the value that stands there."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier_client.errors import SettingsError


@dataclass(frozen=True)
class Place:
    """A value of a file with the path of its key. The checks raise `SettingsError` with file, path and what came."""

    file: Path
    value: Any
    key: str = ""

    def at(self, key: str) -> Place:
        """The place of a key of this mapping."""
        name = key if key.replace("_", "").isalnum() else f"[{key!r}]"
        joined = name if not self.key else f"{self.key}{name}" if name[0] == "[" else f"{self.key}.{name}"
        return Place(self.file, self.value[key], joined)

    def entries(self) -> Mapping[str, Place]:
        """The places of the keys of this mapping, which may have any names."""
        if not isinstance(self.value, dict):
            raise self.wrong("a mapping (key: value)")
        return {name: self.at(name) for name in self.value}

    def mapping(self, allowed: Sequence[str], hints: Mapping[str, str] | None = None) -> Mapping[str, Place]:
        """The places of the keys of this mapping, of which each must be allowed. `hints` explain what is not."""
        entries = self.entries()
        for name in entries:
            if name in allowed:
                continue
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = (hints or {}).get(name) or (f"Did you mean {near[0]!r}?" if near else "")
            where = f"{self.key}: " if self.key else ""
            raise SettingsError(
                f"{self.file}: {where}there is no key {name!r}.{f' {hint}' if hint else ''} "
                f"There are: {', '.join(allowed)}."
            )
        return entries

    def number(self, low: float = -math.inf, high: float = math.inf, words: str = "a number") -> float:
        """A finite number from `low` to `high`; `words` say which."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(words, "YAML reads 1e-3 as a text: write 0.001." if _exponent(value) else "")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number) or not low <= number <= high:
            raise self.wrong(words)
        return number

    def truth(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def text(self, words: str) -> str:
        """A text that is not empty and that the system can take as a word or a path."""
        if not isinstance(self.value, str) or not self.value.strip() or "\0" in self.value:
            raise self.wrong(words)
        return self.value

    def wrong(self, expected: str, hint: str = "") -> SettingsError:
        """The error of this value."""
        where = f"{self.key}: " if self.key else ""
        return SettingsError(
            f"{self.file}: {where}expected {expected}, got {_shown(self.value)}.{f' {hint}' if hint else ''}"
        )


def _exponent(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return math.isfinite(float(value)) and "e" in value.lower()
    except ValueError:
        return False


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value[:60]!r}"
    try:
        return str(value)[:60]
    except ValueError:
        return "a number of thousands of digits"
