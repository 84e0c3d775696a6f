"""The lock files go on installing on the day after a locked package gets a newer release."""

import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
# `.atelier` has a lock of another kind: the one that keeps two `make venv` apart.
LOCKS = sorted(str(lock.relative_to(ROOT)) for lock in ROOT.glob("[!.]*/[!.]*.lock"))


def pins(text: str) -> dict[str, set[str]]:
    """The locked packages of a lock file, each with the extras that it is locked with."""
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[([^]]*)\])?==", text, re.MULTILINE)
    return {canonicalize_name(name): set(filter(None, extras.split(","))) for name, extras in found}


def asked_extras(locked: dict[str, set[str]]) -> list[tuple[str, str, set[str]]]:
    """Each (package, locked package that it needs, extras that it needs it with); installed packages tell."""
    asked: list[tuple[str, str, set[str]]] = []
    for package, extras in locked.items():
        try:
            lines = requires(package) or []
        except (
            PackageNotFoundError
        ):  # a lock of benchmarks or of CUDA: its packages are not in this environment
            continue
        for needed in map(Requirement, lines):
            applies = needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)
            )
            name = canonicalize_name(needed.name)
            if needed.extras and applies and name in locked:
                asked.append((package, name, set(needed.extras)))
    return asked


@pytest.mark.parametrize("lock", LOCKS)
def test_a_package_that_is_needed_with_an_extra_is_locked_with_it(lock: str) -> None:
    """pip 23 looks for the newest `name[extra]` when only `name` is pinned, and then misses its hash."""
    locked = pins((ROOT / lock).read_text(encoding="utf-8"))
    assert locked
    for package, name, extras in asked_extras(locked):
        assert extras <= locked[name], f"{package} needs {name}[{','.join(sorted(extras))}]"


def test_the_tools_need_a_package_with_an_extra() -> None:
    """Otherwise the test above would look at nothing."""
    assert ("pytest-cov", "coverage", {"toml"}) in asked_extras(
        pins((ROOT / "tests" / "requirements.lock").read_text(encoding="utf-8"))
    )
