"""The request context: data about the request that a thread handles.

The code that handles the request writes it; metrics and logs read it at the end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

_local = threading.local()


class RequestContext:
    """One request. Times are seconds of time.perf_counter(), durations seconds.

    `deadline` is the client's (time.monotonic(), or None). `waited` is the time until a thread took the request.
    `queued` and `ran` are the times in the batching queue and in the session, summed over the runs of the request.
    `label` is the version label that the request asks by, empty for none.
    `rows` is the number of its own rows, `batch` the number of rows in its batch. `claim` is called with the bytes of
    memory that the request takes beyond those that it has sent, and may raise `ServingError`; None where memory is
    limited otherwise. `keep` takes the request and its answer for the request log; None where it is not kept. What was
    kept is in `kept` until the request has ended.
    """

    __slots__ = (
        "batch",
        "claim",
        "code",
        "deadline",
        "keep",
        "kept",
        "label",
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
        self.label = ""
        self.queued = 0.0
        self.ran = 0.0
        self.rows = 0
        self.batch = 0
        self.code = "OK"
        self.claim: Callable[[int], object] | None = None
        self.keep: Callable[[Any], object] | None = None
        self.kept: Any = None


# Warm-up runs without a request. It writes into this context, which nobody reads.
_NO_REQUEST = RequestContext("", None, 0.0)


def begin(method: str, deadline: float | None = None, waited: float = 0.0) -> RequestContext:
    """Start a new request in this thread."""
    _local.context = context = RequestContext(method, deadline, waited)
    return context


def current() -> RequestContext:
    """The context of the request that this thread handles."""
    return getattr(_local, "context", _NO_REQUEST)


def end() -> None:
    """End the request of this thread."""
    _local.context = _NO_REQUEST
