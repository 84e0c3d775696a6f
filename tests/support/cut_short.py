"""Runs a command of the client that is killed, or disturbed, at one of its writes.

    python -m tests.support.cut_short 7 kill -- release 2     dies by SIGKILL before its seventh write
    python -m tests.support.cut_short 7 after -- release 2    dies by SIGKILL right after it
    python -m tests.support.cut_short 7 tear -- release 2     the same, and the last bytes of that write are not there
    python -m tests.support.cut_short 3 wait -- release 2     stops (SIGSTOP) before its third write
    python -m tests.support.cut_short 3 full -- release 2     the disk is full (ENOSPC) from its third write on
    python -m tests.support.cut_short 0 count -- release 2    prints which writes there were, on stderr

A write is a call of the system that changes what is on disk or makes it durable. The gate asks for the latency a few
times instead of 200 times: what is tried here are the writes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import sys
from typing import Any

CALLS = ("replace", "fsync", "rename", "unlink", "rmdir")
# A file that is taken away needs no room.
_NEED_ROOM = ("replace", "fsync", "rename")
_CUT = 20
_LATENCY_REQUESTS = 20


def main() -> None:
    """Patch the calls, then run the command as its console script does."""
    number, how = int(sys.argv[1]), sys.argv[2]
    made: list[str] = []

    def counted(name: str, call: Any) -> Any:
        def write(*arguments: Any, **more: Any) -> Any:
            made.append(name)
            if how == "full" and len(made) >= number and name in _NEED_ROOM:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if len(made) != number:
                return call(*arguments, **more)
            if how == "wait":
                os.kill(os.getpid(), signal.SIGSTOP)
            elif how == "after":
                # Also what is not there to be removed counts as a write.
                with contextlib.suppress(OSError):
                    call(*arguments, **more)
            elif how == "tear":
                _tear(arguments[0])
            if how in ("kill", "after", "tear"):
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **more)

        return write

    for name in CALLS:
        setattr(os, name, counted(name, getattr(os, name)))
    from atelier_client.cli.main import main as client
    from atelier_client.gate import latency

    latency.OBSERVED = _LATENCY_REQUESTS
    sys.argv = ["atelier-client", *sys.argv[4:]]
    try:
        client()
    finally:
        if how == "count":
            print(f"writes: {' '.join(made)}", file=sys.stderr)


def _tear(descriptor: int) -> None:
    """Take the last bytes away from the file that is to be made durable."""
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode):
        os.ftruncate(descriptor, max(0, found.st_size - _CUT))


if __name__ == "__main__":
    main()
