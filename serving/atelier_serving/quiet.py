"""TensorFlow without its start-up noise: imported before TensorFlow, wherever a command needs it."""

from __future__ import annotations

import logging
import os
from typing import Any


def silence_startup() -> None:
    """Keep TensorFlow's C++ log lines off stderr; call before the import. What fails still raises in Python.

    Without an NVIDIA device TensorFlow logs the lack of a GPU as an error, so there the threshold is one higher.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if os.path.exists("/dev/nvidiactl") else "3")
    # oneDNN's reordered sums change the last digits from machine to machine, and its notice ignores the log level.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def silence_first_session(config: Any) -> None:
    """Run a first session with stderr closed to notices that no log level holds back.

    The loader's Python side calls itself deprecated, and the C++ side says once that a compiler pass is off. The first
    session makes the threads that all sessions of the process share, as many as `config`, a ConfigProto, says.
    """
    import tensorflow as tf

    tf.get_logger().setLevel(logging.ERROR)
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
            session.run(tf.constant(0))
    finally:
        os.dup2(saved, 2)
        os.close(saved)
