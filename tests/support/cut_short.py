"""Runs a command of the client that is killed, or disturbed, at one of its writes.

    python -m tests.support.cut_short 7 kill -- release 2     dies by SIGKILL before its seventh write
    python -m tests.support.cut_short 0 count -- release 2    prints how many writes there were, on stderr
    python -m tests.support.cut_short 3 wait -- release 2     stops (SIGSTOP) before its third write

A write is a call of the system that changes what is on disk or makes it durable.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

CALLS = ("replace", "fsync", "rename", "unlink", "rmdir")


def main() -> None:
    """Patch the calls, then run the command as its console script does."""
    number, how = int(sys.argv[1]), sys.argv[2]
    count = 0

    def counted(call: Any) -> Any:
        def write(*arguments: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), {"kill": signal.SIGKILL, "wait": signal.SIGSTOP}[how])
            return call(*arguments, **more)

        return write

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    from atelier_client.cli.main import main as client

    sys.argv = ["atelier-client", *sys.argv[4:]]
    try:
        client()
    finally:
        if how == "count":
            print(f"writes: {count}", file=sys.stderr)


if __name__ == "__main__":
    main()
