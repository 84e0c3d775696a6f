"""What the core asks of a shell: it is a generator that yields steps, and a shell, blocking or asyncio, takes them.

So everything that is decided (splitting, retries, replicas, waiting) is written once, and each shell is a loop of a few
lines.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from atelier_client.transports.base import Method

T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """Send a serialized request to a replica; the answer is the step's value, a `ServerError` is thrown in.

    Made for every request, so not frozen: making one would take four times as long.
    """

    replica: int
    method: Method
    request: bytes
    timeout: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Gather:
    """Run routines side by side, at most `limit` at a time; the value is their results in order.

    The first error ends it: no further routine is begun.
    """

    routines: Sequence[Routine[Any]]
    limit: int


Step = Call | Pause | Gather
Routine = Generator[Step, Any, T]
