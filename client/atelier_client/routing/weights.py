"""The weights of labels, and which label a key or a random number belongs to."""

from __future__ import annotations

import hashlib
import itertools
import math
import sys
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from atelier_client.errors import InputError, SettingsError

Key = str | bytes | int


class Weights:
    """Labels with the share of requests that each gets. It never changes: another one takes its place.

    A key belongs to the label with the least -ln(u) / weight, where u in (0, 1) is the BLAKE2b hash of model, label and
    key (weighted rendezvous hashing: Schindelhauer and Schomaker 2005). So each label gets its share of the keys in
    every process, and raising one label's weight moves keys to that label only, whatever the number of labels.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        check(weights)
        self.values = dict(weights)
        largest = max(weights.values())
        # In shares of the largest, the sum cannot overflow.
        shares = {label: weight / largest for label, weight in weights.items()}
        self._shares = {label: share for label, share in shares.items() if share > 0}
        self._labels = list(self._shares)
        self._ends = list(itertools.accumulate(self._shares.values()))

    def at(self, point: float) -> str:
        """The label at a point in [0, 1), each with its share of the line."""
        place = bisect_right(self._ends, point * self._ends[-1])
        return self._labels[min(place, len(self._labels) - 1)]

    def of_key(self, model: str, key: Key) -> str:
        """The label of a key. Raises `InputError` for what is no key."""
        if len(self._labels) == 1:
            key_bytes(key)
            return self._labels[0]
        end = b"\0" + key_bytes(key)
        start = f"{model}\0".encode()
        return min(
            self._labels,
            key=lambda label: (-math.log(_point(start + label.encode() + end)) / self._shares[label], label),
        )


def check(weights: Any, place: str = "weights") -> None:
    """Raises `SettingsError` for what are no weights. `place` says where they stand."""
    example = '{"stable": 90, "canary": 10}'
    if not isinstance(weights, Mapping):
        raise SettingsError(f"{place}: expected labels and their weights, as {example}, not {weights!r}.")
    for label, weight in weights.items():
        if not isinstance(label, str) or not label:
            raise SettingsError(f"{place}: a label is a name, not {label!r}. Expected {example}.")
        number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not number or not 0 <= weight <= sys.float_info.max:
            raise SettingsError(f"{place}: the weight of {label!r} is a number, 0 or more, not {weight!r}.")
    if not any(weights.values()):
        raise SettingsError(f"{place}: no label has a weight above 0. Expected {example}, not {weights!r}.")


def key_bytes(key: Key) -> bytes:
    """The bytes that are hashed: text as UTF-8, a whole number as its digits. Raises `InputError` for another type."""
    if isinstance(key, str):
        return key.encode("utf-8", "surrogatepass")
    if isinstance(key, bytes):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key).encode()
    raise InputError(
        f"A key is a text, bytes or a whole number, not {key!r}. Without a key a label is chosen at random."
    )


def _point(text: bytes) -> float:
    """A number in (0, 1) of 52 bits, so that both ends are out of reach."""
    number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 12
    return (number + 0.5) / 2.0**52
