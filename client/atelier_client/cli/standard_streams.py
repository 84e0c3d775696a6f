"""Standard streams that the caller has closed: the next files opened would take their numbers, and be written to."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator


def open_closed_streams() -> None:
    """Give each standard stream that is closed, or open the wrong way round, the null device."""
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            usable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE in (mode, os.O_RDWR)
        except OSError:
            usable = False
        if not usable:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, descriptor)
            if null != descriptor:
                os.close(null)
    # Python leaves None in their place, and prints what is meant for stderr on stdout.
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """Go on when nobody reads stdout any more (`| head`), for a command that must not end half-way because of it."""
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):
        # The tables' library makes SystemExit of the first. What is still to be written goes nowhere.
        drop(1)


def drop(descriptor: int) -> None:
    """Send what is written to a standard stream from now on to the null device."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
