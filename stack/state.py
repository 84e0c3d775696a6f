"""What is running, remembered between commands: `.atelier/state.json`, and the lock that keeps two commands apart."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from stack.errors import StackError, Unavailable


@dataclass
class State:
    """The service that was started: engine (`local` or `compose`), ports on 127.0.0.1, and how.

    `jobs` says which job made what is served, by model. `done` holds, by job, what `make up` found when it last came to
    its end: when nothing has changed since, there is nothing to do (see loop.py).
    """

    engine: str
    grpc_port: int
    rest_port: int
    model: str
    gpu: bool = False
    base_image: str = ""
    embedded: bool = False
    pid: int = 0
    jobs: dict[str, str] = field(default_factory=dict)
    done: dict[str, dict[str, Any]] = field(default_factory=dict)


def load(folder: Path) -> State | None:
    """The remembered state, or None when nothing was started (or the file is of no use)."""
    try:
        document = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        state = State(**document)
    except (OSError, ValueError, TypeError):
        return None
    kinds = {item.name: type(getattr(State("", 0, 0, ""), item.name)) for item in fields(State)}
    return state if all(type(getattr(state, name)) is kind for name, kind in kinds.items()) else None


def damaged(folder: Path) -> bool:
    """True when there is a state file, and it says nothing: a crash of the machine can leave one."""
    return os.path.lexists(folder / "state.json") and load(folder) is None


def save(folder: Path, state: State) -> None:
    """Replace the state file in one step."""
    folder.mkdir(exist_ok=True)
    temporary = folder / "state.json.new"
    with open(temporary, "w", encoding="utf-8") as handle:
        handle.write(json.dumps(asdict(state), indent=1) + "\n")
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, folder / "state.json")


def forget(folder: Path) -> None:
    """Remove the state: nothing runs any more."""
    with contextlib.suppress(FileNotFoundError):
        (folder / "state.json").unlink()


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the checkout's lock; two commands that change what runs must not interleave."""
    try:
        folder.mkdir(exist_ok=True)
        # Neither through a symbolic link nor emptying what is there: the file only carries the lock.
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Unavailable(
            f"{folder} cannot be written ({error.strerror}), and make keeps its state and its logs there, like models, "
            "data and reports beside it. Work in a copy of the checkout that belongs to you and can be written."
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise StackError("Another make command is at work in this checkout; wait for it to end.") from None
    try:
        yield
    finally:
        os.close(handle)
