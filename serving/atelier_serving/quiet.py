"""Silences TensorFlow's messages at start-up. Commands import it by this module."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any


def silence_startup() -> None:
    """Import TensorFlow, and keep the log of its C++ code off stderr. Failures still raise in Python.

    Without an NVIDIA device TensorFlow logs an error that there is no GPU. So the threshold is one level higher then.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if os.path.exists("/dev/nvidiactl") else "3")
    # oneDNN sums in another order, so the last digits differ between machines. Its notice also ignores the log level.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    with _stderr_hidden():
        # TensorFlow 2.21 notes at any log level that there is no CUDA.
        import tensorflow as tf
    tf.get_logger().setLevel(logging.ERROR)


def silence_first_session(config: Any) -> None:
    """Run a first session while stderr is redirected, because some notices ignore the log level.

    The Python code of the loader says that it is deprecated, and the C++ code says once that a compiler pass is off.
    The first session also makes the threads that all sessions of the process share. `config`, a ConfigProto, sets how
    many.
    """
    import tensorflow as tf

    with _stderr_hidden(), tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
        session.run(tf.constant(0))


@contextlib.contextmanager
def _stderr_hidden() -> Iterator[None]:
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
