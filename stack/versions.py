"""The one place that names the TensorFlow of the lock files and of TensorFlow Serving's image.

stack/lock.sh resolves the lock files for TENSORFLOW, compose gets it as the tag of the image, and tests compare the
documents with it. NEXT_TENSORFLOW has a lock file of its own, which `make test TENSORFLOW=2.21` installs and tests.
"""

from __future__ import annotations

TENSORFLOW = "2.20.0"
NEXT_TENSORFLOW = "2.21.0"


def minor(version: str) -> str:
    """`2.21` of `2.21.0`: what people write, and what lock files and environments are called by."""
    return version.rpartition(".")[0]
