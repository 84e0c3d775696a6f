"""The image of the embedded server, as compose.embedded.yaml builds it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from stack.engines import docker
from stack.engines.images import choose
from stack.errors import Unavailable

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "atelier-serving"


def build_image(folder: Path) -> str:
    """Build the embedded server's image, or skip where no engine can; return its base. `folder` is for logs."""
    try:
        docker.find()
        base = choose(folder, gpu=False).base
    except Unavailable as reason:
        pytest.skip(f"this machine has no container engine to build the image with: {reason}")
    command = ["docker", "build", "--quiet", "--build-arg", f"BASE_IMAGE={base}", "--tag", IMAGE, "serving"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stderr
    return base
