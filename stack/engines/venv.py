"""Environments of the checkout, as `.venv`: made once from the lock files, made anew when they change."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stack import files
from stack.console import note, run_logged
from stack.errors import Unavailable
from stack.versions import TENSORFLOW, minor

COMPONENTS = ("trainer", "serving", "client", "console")
_PYTHONS = ("python3.11", "python3.12", "python3.13", "python3")
_STAMP = "atelier-installed"
_CHECK = "import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))"


@dataclass(frozen=True)
class Environment:
    """A virtual environment of the checkout: its folder, what it is made of, and the Python asked for (`3.12`)."""

    folder: Path
    locks: tuple[Path, ...]
    python: str = ""


def ensure(root: Path, tests: bool = False, gpu: bool = False) -> Path:
    """Return `.venv/bin`; installs the components (with `tests` also the tools) when their locks changed."""
    return install(root, Environment(root / ".venv", locks(root, tests, gpu)))


def locks(root: Path, tests: bool, gpu: bool = False) -> tuple[Path, ...]:
    """The lock files of the components, with `tests` also that of the tools."""
    trainer = "requirements-gpu.lock" if gpu else "requirements.lock"
    found = [root / name / (trainer if name == "trainer" else "requirements.lock") for name in COMPONENTS]
    return (*found, root / "tests" / "requirements.lock") if tests else tuple(found)


def install(root: Path, environment: Environment) -> Path:
    """Return the environment's `bin`; installs what its stamp does not have yet. Raises `StackError`."""
    wanted = {lock.parent.name + lock.name: _digest(lock, root) for lock in environment.locks}
    done = _read(environment.folder)
    if not wanted.items() <= done.items():
        with alone(root):
            # Another command may have installed it meanwhile.
            done = _read(environment.folder)
            if not wanted.items() <= done.items():
                _install(root, environment, done, wanted)
    return environment.folder / "bin"


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold the lock of `.venv`; another command that sets it up is waited for. Raises `OSError`."""
    path = root / ".atelier" / "venv.lock"
    with contextlib.ExitStack() as held:
        while True:
            files.make_folder(path.parent)
            handle = held.enter_context(files.open_own(path))
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                note("Another make command is setting up .venv: waiting for it.")
                fcntl.flock(handle, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                # `make clean` removes the file with all others; those who come then would lock the next one.
                if os.path.samestat(os.fstat(handle.fileno()), path.stat()):
                    break
        yield


def _install(root: Path, environment: Environment, done: dict[str, str], wanted: dict[str, str]) -> None:
    """Make the environment where there is none, and install the locked packages and the components."""
    venv = environment.folder
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
    log = root / ".atelier" / "logs" / "install.log"
    stamp = venv / _STAMP
    if not (venv / "bin" / "pip").exists():
        if os.path.lexists(venv) and not stamp.is_file():
            raise Unavailable(
                f"{venv} was not made by make, and has no pip to install with. Move it away; make then makes its own."
            )
        python = find_python(environment.python)
        done = {}
        shutil.rmtree(venv, ignore_errors=True)
        venv.mkdir()
        # From now on it is known as made here, whatever interrupts.
        stamp.touch()
        run_logged([python, "-m", "venv", str(venv)], f"Creating {venv.name}", log)
    stamp.write_text("")
    requirements = [argument for lock in environment.locks for argument in ("-r", str(lock))]
    what = "Installing the locked packages (about 2.5 GB on disk, mostly TensorFlow)"
    run_logged([*pip, "--progress-bar=off", "--require-hashes", *requirements], what, log)
    editable = [argument for name in COMPONENTS for argument in ("--editable", str(root / name))]
    run_logged([*pip, "--no-deps", "--no-build-isolation", *editable], "Installing the components", log)
    lines = "".join(f"{name} {digest}\n" for name, digest in {**done, **wanted}.items())
    stamp.write_text(lines)


def find_python(asked: str = "") -> str:
    """The first Python 3.11 to 3.13 that can make virtual environments; with `asked` (`3.12`) one of that version.

    `Unavailable` says what to install.
    """
    for name in (f"python{asked}",) if asked else (sys.executable, *_PYTHONS):
        path = shutil.which(name)
        if path and subprocess.run([path, "-c", _CHECK], capture_output=True, check=False).returncode == 0:
            return path
    if asked:
        raise Unavailable(
            f"PYTHON={asked}: no python{asked} with venv and ensurepip was found on PATH. Install it, for example by "
            f"`uv python install {asked}` or from the system's packages, or put the folder that has it on PATH."
        )
    raise Unavailable(
        "No Python from 3.11 to 3.13 with venv and ensurepip was found (tried: "
        + ", ".join(dict.fromkeys(_PYTHONS))
        + f"). TensorFlow {minor(TENSORFLOW)} needs one; on Debian and Ubuntu: apt-get install python3-venv."
    )


def component_environment(root: Path, target: str) -> dict[str, str]:
    """The environment the components' commands run in: the checkout's folders, and the addresses of the servers."""
    return {
        **os.environ,
        "ATELIER_MODELS": str(root / "models"),
        "ATELIER_DATA": str(root / "data"),
        "ATELIER_REPORTS": str(root / "reports"),
        "ATELIER_RUNS": str(root / "runs"),
        "ATELIER_FEEDBACK": str(root / "feedback"),
        "ATELIER_TARGET": target,
    }


def _digest(lock: Path, root: Path) -> str:
    """The lock's contents, the metadata of what is installed with it (its scripts), and where the checkout stands.

    The tools' lock files belong to no component. One that holds the components' packages too counts for all of them.
    """
    names = (lock.parent.name,) if lock.name.startswith("requirements") else COMPONENTS
    projects = [root / name / "pyproject.toml" for name in names]
    parts = [
        lock.read_bytes(),
        *(project.read_bytes() if project.exists() else b"" for project in projects),
        str(root.resolve()).encode(),
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _read(venv: Path) -> dict[str, str]:
    """What is installed: from a lock file's name to its digest."""
    try:
        return dict(line.split() for line in (venv / _STAMP).read_text().splitlines())
    except OSError:
        note(f"No {venv.name} yet: setting it up.")
        return {}
