"""Ctrl-C and SIGTERM that cannot get lost.

Python drops a KeyboardInterrupt that happens to be raised in a destructor ("Exception ignored in .."), and TensorFlow
has many of them between two epochs. So the signal is also remembered, and long work asks for it.
"""

from __future__ import annotations

import signal
from typing import NoReturn

_received = False


def install() -> None:
    """Let SIGINT (unless the caller's shell has it ignored) and SIGTERM raise KeyboardInterrupt, and remember them."""
    signal.signal(signal.SIGTERM, _handle)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _handle)


def check() -> None:
    """Raises KeyboardInterrupt when a signal has come, whatever became of its own exception."""
    if _received:
        raise KeyboardInterrupt


def _handle(number: int, frame: object) -> NoReturn:
    global _received
    _received = True
    raise KeyboardInterrupt
