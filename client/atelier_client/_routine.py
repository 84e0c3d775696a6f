"""The steps that the core asks of a shell. The core is a generator that yields steps; a shell carries them out.

The core decides everything (splitting, retries, replicas, waiting), so this is written once. The two shells, blocking
and asyncio, are loops of a few lines.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from atelier_client.transports.base import Method

T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """Send a serialized request to a replica. The shell sends in the response or throws a `ServerError`.

    One is made for every request. It is not frozen, because making a frozen one takes four times as long.
    """

    replica: int
    method: Method
    request: bytes
    timeout: float
    traceparent: str | None = None

    def arguments(self) -> tuple[Any, ...]:
        """The arguments of `Transport.call`. A transport of a user's own need not know of traces."""
        given = (self.method, self.request, self.timeout)
        return given if self.traceparent is None else (*given, self.traceparent)


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Gather:
    """Run routines side by side, at most `limit` at a time; the value is their results in order.

    After the first error no further routine is started.
    """

    routines: Sequence[Routine[Any]]
    limit: int


Step = Call | Pause | Gather
Routine = Generator[Step, Any, T]
