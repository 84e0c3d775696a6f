"""TensorFlow's start without its log lines, and faster. What is here is called before TensorFlow is imported."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def silence_startup(*, convolutions: bool = False) -> None:
    """Keep TensorFlow's C++ log lines off stderr; call before the import. What fails still raises in Python.

    Without an NVIDIA device TensorFlow logs the lack of a GPU as an error, so there the threshold is one higher.
    With `convolutions` oneDNN is on, which trains those in two thirds of the time.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if os.path.exists("/dev/nvidiactl") else "3")
    # oneDNN's reordered sums change the last digits from machine to machine. Without the variable it is on, with a
    # notice that ignores the log level.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", str(int(convolutions)))


@contextmanager
def quick_import() -> Iterator[None]:
    """Switch garbage collection off for the block: an import leaves no garbage to collect.

    TensorFlow and Keras take 1.7 s instead of 2.0.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def lines_of_c_hidden() -> Iterator[int]:
    """Keep what TensorFlow's C++ writes off stderr, which no log level does before its logging has begun.

    Gives the file descriptor where stderr still is.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield kept
    finally:
        os.dup2(kept, 2)
        os.close(kept)
