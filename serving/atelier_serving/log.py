"""The server's log: lines on standard error."""

from __future__ import annotations

import sys
import time


def print_state(text: str) -> None:
    """One line of the server's log."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", file=sys.stderr, flush=True)
