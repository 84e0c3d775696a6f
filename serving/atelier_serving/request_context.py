"""The request context: what is known about the request that a thread is answering.

The code on the request's way writes it; metrics and logs read it at the end.
"""

from __future__ import annotations

import threading
import time

_local = threading.local()


class RequestContext:
    """One request. Times are seconds of time.perf_counter(), durations seconds.

    `deadline` (time.monotonic(), or None) is the client's; `waited` the time until a thread took the request;
    `queued` and `ran` what batching and the session took, summed over the runs of the request; `rows` its own rows,
    `batch` the rows it ran with.
    """

    __slots__ = (
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
    )

    def __init__(self, method: str, deadline: float | None, waited: float) -> None:
        self.method = method
        self.deadline = deadline
        self.waited = waited
        self.started = time.perf_counter()
        self.model = ""
        self.version = 0
        self.queued = 0.0
        self.ran = 0.0
        self.rows = 0
        self.batch = 0
        self.code = "OK"


# Warm-up runs outside any request; what it notes goes here and is never read.
_NO_REQUEST = RequestContext("", None, 0.0)


def begin(method: str, deadline: float | None = None, waited: float = 0.0) -> RequestContext:
    """From here on this thread answers a new request."""
    _local.context = context = RequestContext(method, deadline, waited)
    return context


def current() -> RequestContext:
    """The request this thread is answering."""
    return getattr(_local, "context", _NO_REQUEST)


def end() -> None:
    """This thread has answered."""
    _local.context = _NO_REQUEST
