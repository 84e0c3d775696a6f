"""TensorFlow without its start-up noise: imported before TensorFlow, wherever a command needs it."""

from __future__ import annotations

import os


def silence_startup() -> None:
    """Keep INFO and WARNING lines of TensorFlow's C++ side off stderr; errors still show. Call before the import."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # oneDNN's reordered sums change the last digits from machine to machine, and its notice ignores the log level.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # Without a driver TensorFlow reports the lack of a GPU as an error; there is nothing to look for.
    if not os.path.exists("/dev/nvidiactl"):
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
