"""Which images the compose engine uses: the published ones, or the fallbacks, each announced in one line."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from stack.console import note, run_logged
from stack.engines import base_image
from stack.engines.docker import find, has_image
from stack.errors import StepFailed, Unavailable
from stack.versions import TENSORFLOW

PYTHON_IMAGE = "python:3.11-slim"
SERVING_IMAGE = f"tensorflow/serving:{TENSORFLOW}"
GPU_SERVING_IMAGE = f"{SERVING_IMAGE}-gpu"
PROMETHEUS_IMAGE = "prom/prometheus:v2.55.1"
GRAFANA_IMAGE = "grafana/grafana:12.1.0"


@dataclass(frozen=True)
class Images:
    """The base of the images built here, and whether the embedded server stands in for TensorFlow Serving."""

    base: str
    embedded: bool


def choose(state_dir: Path, gpu: bool) -> Images:
    """Pull what can be pulled, else prepare the fallback. Raises `Unavailable` when neither is possible."""
    logs = state_dir / "logs"
    base = PYTHON_IMAGE
    embedded = False
    if not pull(PYTHON_IMAGE, logs):
        reason = base_image.why_not()
        if reason and not has_image(base_image.IMAGE):
            raise Unavailable(f"{PYTHON_IMAGE} cannot be pulled, and {reason}")
        note(
            f"{PYTHON_IMAGE} cannot be pulled: using a base image of Debian packages with this host's CA bundle."
        )
        base = base_image.build(state_dir, logs)
    serving = GPU_SERVING_IMAGE if gpu else SERVING_IMAGE
    if not pull(serving, logs):
        if gpu:
            raise Unavailable(
                f"{serving} cannot be pulled, and the embedded server's image has no GPU support"
            )
        note(
            f"{serving} cannot be pulled for {platform.machine()}: using the embedded server's image instead."
        )
        embedded = True
    return Images(base, embedded)


def pull(image: str, logs: Path) -> bool:
    """True when the engine has the image, pulled now or before. Raises `Unavailable` when the engine has stopped."""
    if has_image(image):
        return True
    try:
        run_logged(["docker", "pull", image], f"Pulling {image}", logs / f"pull-{image.translate(_SAFE)}.log")
    except StepFailed:
        # This raises when the engine itself has stopped: then no fallback is chosen.
        find()
        return False
    return True


_SAFE = str.maketrans("/:", "--")
