"""Which NVIDIA cards the locked packages and TensorFlow Serving's image can drive (`GPU=1`)."""

from __future__ import annotations

import shutil
import subprocess

from stack.console import note
from stack.errors import Unavailable
from stack.versions import TENSORFLOW, minor

# What the wheel says that it was built for (`tf.sysconfig.get_build_info()["cuda_compute_capabilities"]`). Machine code
# runs on cards of the same major number. For later ones a driver would compile the intermediate code of `compute_90`,
# which fails on compute capability 10 and 12 (Blackwell): tensorflow/tensorflow#89272, tensorflow/serving#4112.
BUILT_FOR = ("sm_60", "sm_70", "sm_80", "sm_89", "compute_90")
_MAJORS = range(6, 10)
ANSWER_SECONDS = 15.0


def require_drivable() -> None:
    """Name the cards of this machine that cannot be driven. Raises `Unavailable` when there is no other.

    Nothing is said where nvidia-smi does not tell the compute capability: there is none, or an old one.
    """
    found = cards()
    lacking = [
        f"{name} (compute capability {capability})" for name, capability in found if not drivable(capability)
    ]
    if not lacking:
        return
    sentence = (
        f"TensorFlow {minor(TENSORFLOW)} has no code for {', '.join(lacking)}: its packages and TensorFlow Serving's "
        f"image drive compute capabilities {_MAJORS[0]}.0 to {_MAJORS[-1]}.0 (docs/supply-chain.md)."
    )
    if len(lacking) == len(found):
        raise Unavailable(f"GPU=1: {sentence} Leave GPU=1 off: the processor does the same work.")
    note(sentence)


def drivable(capability: str) -> bool:
    """Whether the packages have code for a card of this compute capability, as `8.6`."""
    return int(capability.partition(".")[0]) in _MAJORS


def cards() -> list[tuple[str, str]]:
    """The (name, compute capability) of each card that nvidia-smi tells of; empty when it does not say."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=compute_cap,name", "--format=csv,noheader"]
    try:
        seen = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = [line.partition(",") for line in seen.stdout.splitlines()] if seen.returncode == 0 else []
    return [
        (name.strip(), capability.strip())
        for capability, _, name in lines
        if capability.strip().replace(".", "", 1).isdecimal()
    ]
