"""What the request log keeps, from the texts of its flags. Imports no TensorFlow: the supervisor reads them too."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from atelier_serving.status import invalid

# Sizes in bytes with their units, capitals or not.
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,9})?) ?((?:[kmgt]i?)?b|)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class LogSettings:
    """Where the log is, `rate` (0 to 1) of the requests in it, what bounds it, and the names that are left out.

    `max_bytes` and `max_seconds` bound all files together; so many `writers` (processes) share the folder.
    """

    folder: Path
    rate: float
    max_bytes: int
    max_seconds: float
    hidden: frozenset[str] = frozenset()
    writers: int = 1


def read_log_settings(
    folder: str, rate: float, max_bytes: str, max_seconds: float, redact: str, workers: int
) -> LogSettings:
    """The settings that the flags `--request_log_..` give. Raises `ServingError`."""
    if not 0 <= rate <= 1:
        raise invalid(f"--request_log_sampling_rate={rate}: expected a number from 0 to 1.")
    if not 0 < max_seconds < math.inf:
        raise invalid(f"--request_log_max_age_seconds={max_seconds}: expected a number of seconds above 0.")
    names = [name.strip() for name in redact.split(",")] if redact else []
    if not all(names):
        raise invalid(f"--request_log_redact={redact}: expected names with commas between, such as name,age.")
    if not folder and names:
        raise invalid(
            "--request_log_redact is for the request log, which is off: set --request_log_dir, too."
        )
    return LogSettings(Path(folder), rate, _size(max_bytes), max_seconds, frozenset(names), workers)


def _size(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * _UNITS[found[2].lower()]) if found else 0
    if not size:
        raise invalid(
            f"--request_log_max_bytes={text}: expected a size above 0, such as 1000000, 500MB or 2GiB."
        )
    return size
