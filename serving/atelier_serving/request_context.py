"""What is known about the request that a thread is answering: noted on the way, read by metrics and logs at the end."""

from __future__ import annotations

import threading
import time

_local = threading.local()


class Call:
    """One request. Times are seconds of time.perf_counter(), durations seconds.

    `deadline` (time.monotonic(), or None) is the client's; `waited` the time until a thread took the request;
    `queued` and `ran` what batching and the session took, summed over the runs of the request; `rows` its own rows,
    `batch` the rows it ran with.
    """

    __slots__ = (
        *(
            "batch",
            "code",
            "deadline",
            "method",
            "model",
            "queued",
            "ran",
            "rows",
            "started",
            "version",
            "waited",
        ),
    )

    def __init__(self, method: str, deadline: float | None, waited: float) -> None:
        self.method, self.deadline, self.waited = method, deadline, waited
        self.started = time.perf_counter()
        self.model, self.version = "", 0
        self.queued = self.ran = 0.0
        self.rows = self.batch = 0
        self.code = "OK"


# Warm-up runs outside any request; what it notes goes here and is never read.
_NOBODY = Call("", None, 0.0)


def begin(method: str, deadline: float | None = None, waited: float = 0.0) -> Call:
    """From here on this thread answers a new request."""
    _local.call = call = Call(method, deadline, waited)
    return call


def current() -> Call:
    """The request this thread is answering."""
    return getattr(_local, "call", _NOBODY)


def end() -> None:
    """This thread has answered."""
    _local.call = _NOBODY
