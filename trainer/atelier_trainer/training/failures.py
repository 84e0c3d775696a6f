"""What ends a training, as one message each: a full disk, no memory, an error of TensorFlow's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from atelier_trainer.errors import TrainingFailed
from atelier_trainer.files import disk_is_full, explain_write_failure

SHOWN = 300


@contextmanager
def explained(folder: Path, consequence: str = "") -> Iterator[None]:
    """Turn the errors of a training that writes under `folder` into `TrainingFailed`, with `consequence` behind it."""
    import tensorflow as tf

    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        text = getattr(error, "message", None) or str(error)
        if isinstance(error, tf.errors.ResourceExhaustedError) and not disk_is_full(error):
            said = f"Training ran out of memory: {text[:SHOWN]}"
        else:
            said = explain_write_failure(folder, error) or f"Training failed: {text[:SHOWN]}"
        raise TrainingFailed(f"{said} {consequence}".rstrip()) from None
