"""Ctrl-C and SIGTERM, handled so that none is lost.

Python drops a KeyboardInterrupt that is raised in a destructor ("Exception ignored in .."), and TensorFlow runs many
destructors between two epochs. So the signal is also remembered, and long work checks for it.
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
    """Raise KeyboardInterrupt when a signal has arrived, also when Python dropped the signal's own exception."""
    if _received:
        raise KeyboardInterrupt


def _handle(number: int, frame: object) -> NoReturn:
    global _received
    _received = True
    raise KeyboardInterrupt
