"""The checkout's `.venv`: made once from the lock files, made anew when they change."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from stack import files
from stack.console import note, run_logged
from stack.errors import Unavailable

COMPONENTS = ("trainer", "serving", "client", "console")
_PYTHONS = ("python3.11", "python3.12", "python3.13", "python3")
_CHECK = "import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))"


def ensure(root: Path, tests: bool = False, gpu: bool = False) -> Path:
    """Return `.venv/bin`; installs the components (with `tests` also the tools) when their locks changed."""
    venv = root / ".venv"
    locks = [root / name / "requirements.lock" for name in COMPONENTS]
    if gpu:
        locks[0] = root / "trainer" / "requirements-gpu.lock"
    if tests:
        locks.append(root / "tests" / "requirements.lock")
    done = _read(venv / "atelier-installed")
    wanted = {lock.parent.name + lock.name: _digest(lock, root) for lock in locks}
    if wanted.items() <= done.items():
        return venv / "bin"
    with alone(root):
        # Another command may have installed it meanwhile.
        done = _read(venv / "atelier-installed")
        if not wanted.items() <= done.items():
            _install(root, locks, done, wanted)
    return venv / "bin"


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


def _install(root: Path, locks: list[Path], done: dict[str, str], wanted: dict[str, str]) -> None:
    """Make `.venv` where there is none, and install the locked packages and the components."""
    venv = root / ".venv"
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
    log = root / ".atelier" / "logs" / "install.log"
    stamp = venv / "atelier-installed"
    if not (venv / "bin" / "pip").exists():
        if os.path.lexists(venv) and not stamp.is_file():
            raise Unavailable(
                f"{venv} was not made by make, and has no pip to install with. Move it away; make then makes its own."
            )
        python = find_python()
        done = {}
        shutil.rmtree(venv, ignore_errors=True)
        venv.mkdir()
        # From now on it is known as made here, whatever interrupts.
        stamp.touch()
        run_logged([python, "-m", "venv", str(venv)], "Creating .venv", log)
    stamp.write_text("")
    requirements = [argument for lock in locks for argument in ("-r", str(lock))]
    what = "Installing the locked packages (about 2.5 GB on disk, mostly TensorFlow)"
    run_logged([*pip, "--progress-bar=off", "--require-hashes", *requirements], what, log)
    editable = [argument for name in COMPONENTS for argument in ("--editable", str(root / name))]
    run_logged([*pip, "--no-deps", "--no-build-isolation", *editable], "Installing the components", log)
    lines = "".join(f"{name} {digest}\n" for name, digest in {**done, **wanted}.items())
    stamp.write_text(lines)


def find_python() -> str:
    """The first Python 3.11 to 3.13 that can make virtual environments; `Unavailable` says what to install."""
    for name in (sys.executable, *_PYTHONS):
        path = shutil.which(name)
        if path and subprocess.run([path, "-c", _CHECK], capture_output=True, check=False).returncode == 0:
            return path
    raise Unavailable(
        "No Python from 3.11 to 3.13 with venv and ensurepip was found (tried: "
        + ", ".join(dict.fromkeys(_PYTHONS))
        + "). TensorFlow 2.20 needs one; on Debian and Ubuntu: apt-get install python3-venv."
    )


def component_environment(root: Path, grpc_port: int) -> dict[str, str]:
    """The environment the components' commands run in: the checkout's folders, and the service's address."""
    return {
        **os.environ,
        "ATELIER_MODELS": str(root / "models"),
        "ATELIER_DATA": str(root / "data"),
        "ATELIER_REPORTS": str(root / "reports"),
        "ATELIER_RUNS": str(root / "runs"),
        "ATELIER_FEEDBACK": str(root / "feedback"),
        "ATELIER_TARGET": f"127.0.0.1:{grpc_port}",
    }


def _digest(lock: Path, root: Path) -> str:
    """The lock's contents with the component's metadata (its scripts), and where the checkout stands."""
    project = lock.parent / "pyproject.toml"
    parts = [
        lock.read_bytes(),
        project.read_bytes() if project.exists() else b"",
        str(root.resolve()).encode(),
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _read(stamp: Path) -> dict[str, str]:
    try:
        return dict(line.split() for line in stamp.read_text().splitlines())
    except OSError:
        note("No .venv yet: setting it up.")
        return {}
