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


@contextmanager
def quick_import() -> Iterator[None]:
    """For the block that imports TensorFlow: no garbage collection, since an import leaves none, and no lines of C++.

    TensorFlow and Keras take 1.7 s instead of 2.0. TensorFlow 2.21 writes of CUDA at any log level, when it is imported
    and when it first looks for a GPU.
    """
    gc.disable()
    try:
        with lines_of_c_hidden():
            yield
            import tensorflow as tf

            tf.config.list_physical_devices("GPU")
    finally:
        gc.freeze()
        gc.enable()
