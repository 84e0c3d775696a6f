"""What is running, remembered between commands: `.atelier/state.json`, and the lock that keeps two commands apart."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from stack.errors import StackError


@dataclass
class State:
    """The running service: engine (`local` or `compose`), ports on 127.0.0.1, and how it was started."""

    engine: str
    grpc_port: int
    rest_port: int
    model: str
    gpu: bool = False
    base_image: str = ""
    embedded: bool = False
    pid: int = 0


def load(folder: Path) -> State | None:
    """The remembered state, or None when nothing was started (or the file is of no use)."""
    try:
        return State(**json.loads((folder / "state.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def save(folder: Path, state: State) -> None:
    """Replace the state file in one step."""
    folder.mkdir(exist_ok=True)
    temporary = folder / "state.json.new"
    temporary.write_text(json.dumps(asdict(state), indent=1) + "\n")
    os.replace(temporary, folder / "state.json")


def forget(folder: Path) -> None:
    """Remove the state: nothing runs any more."""
    with contextlib.suppress(FileNotFoundError):
        (folder / "state.json").unlink()


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the checkout's lock; two commands that change what runs must not interleave."""
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(
                "Another make command is at work in this checkout; wait for it to end."
            ) from None
        yield
