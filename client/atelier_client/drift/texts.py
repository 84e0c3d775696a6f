"""What can be read off texts: the rule of docs/contracts.md, by which the trainer's graph splits them too."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BREAKS = re.compile(rb"<br[\t\n\f\r ]*/?>")
_SEPARATORS = re.compile(rb"[\x00-\x26\x28-\x2f\x3a-\x60\x7b-\x7f]+")


def words_of(text: bytes) -> list[bytes]:
    """The lower-case words: what stands between ASCII characters that are no letter, digit or apostrophe."""
    lower = text.decode("utf-8", "replace").lower().encode()
    return _SEPARATORS.sub(b" ", _BREAKS.sub(b" ", lower)).split()


def features_of(texts: Iterable[bytes], vocabulary: frozenset[bytes]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Float64 [N] both: the number of words, and the share of them that the vocabulary does not have (0 of none)."""
    rows = [words_of(text) for text in texts]
    lengths = np.array([len(words) for words in rows], np.float64)
    unknown = np.array([sum(word not in vocabulary for word in words) for words in rows], np.float64)
    return lengths, unknown / np.maximum(lengths, 1.0)
