"""The lock files of the checkout, read as they are: pinned packages with their markers and hashes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Pin:
    """One locked package: its normalized name, its version, for which environments, and its files' SHA-256."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]


def locks() -> list[Path]:
    """All lock files of the checkout."""
    # Hidden folders have locks of another kind, which keep processes apart.
    return sorted(ROOT.glob("[!.]*/[!.]*.lock"))


def read(lock: Path, environment: Mapping[str, str] | None = None) -> list[Pin]:
    """The pins of a lock file; with `environment` (PEP 508's names) those that are installed there.

    Raises `ValueError` for a line that pins nothing.
    """
    text = re.sub(r"\\\n\s*", "", lock.read_text(encoding="utf-8"))
    pins = []
    for line in filter(None, (line.partition("#")[0].strip() for line in text.splitlines())):
        requirement = Requirement(line.partition(" --hash=")[0])
        exact = [item.version for item in requirement.specifier if item.operator == "=="]
        if len(exact) != 1 or len(requirement.specifier) != 1:
            raise ValueError(
                f"{lock}: expected a package pinned with ==, found {line.partition(' --hash=')[0]}."
            )
        if environment and requirement.marker and not requirement.marker.evaluate(dict(environment)):
            continue
        name = canonicalize_name(requirement.name)
        pins.append(Pin(name, exact[0], str(requirement.marker or ""), tuple(_HASH.findall(line))))
    return pins


def linux(python: str = "3.11", machine: str = "x86_64") -> dict[str, str]:
    """PEP 508's environment of CPython on Linux."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
        "extra": "",
    }
