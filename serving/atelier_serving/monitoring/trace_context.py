"""W3C Trace Context: the `traceparent` that a caller sends with a request (https://www.w3.org/TR/trace-context/)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

HEADER = "traceparent"
_SIZE = 55
# Section 3.2.2: version, trace-id, parent-id, trace-flags; lower case only, and neither id all zeros.
_FIELDS = re.compile(r"([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


class TraceParent(NamedTuple):
    """The caller's place in a trace: 32 and 16 hexadecimal digits, and the flags (1: the caller records it)."""

    trace_id: str
    span_id: str
    flags: int


def read(values: Iterable[str | bytes]) -> TraceParent | None:
    """The caller's trace from the values of the header, None for none, for a malformed one and for several.

    Section 3.2.4: a malformed one is ignored. A version after 00 may have more behind a fourth dash; ff is none.
    """
    given = list(values)
    if len(given) != 1:
        return None
    text = given[0].decode("latin-1") if isinstance(given[0], bytes) else given[0]
    # HTTP's optional white space around a value.
    text = text.strip(" \t")
    found = _FIELDS.match(text)
    if found is None or found[1] == "ff":
        return None
    if len(text) != _SIZE and (found[1] == "00" or text[_SIZE] != "-"):
        return None
    return TraceParent(found[2], found[3], int(found[4], 16))
