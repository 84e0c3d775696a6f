"""What is running, remembered between commands: `.atelier/state.json`, and the lock that keeps two commands apart."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from stack import files, ports
from stack.errors import StackError, Unavailable

_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass
class State:
    """The service that was started: engine (`local` or `compose`), ports on 127.0.0.1, and how it was started.

    `jobs` is the job that made the served model, by model. `done` is what the last `make up` that came to its end was
    made from and what it made, by job: when nothing has changed since, `make up` has nothing to do (see loop.py).
    `companions` is what was started beside it, by name: `port`, and `pid` (local) or `image` (compose).
    `replicas` is how many servers there are, `more_pids` the pids of all but the first (local).
    `labels` is whether the server was started with the flag that lets it start again with labels in models.config.
    """

    engine: str
    grpc_port: int
    rest_port: int
    model: str
    gpu: bool = False
    base_image: str = ""
    embedded: bool = False
    pid: int = 0
    replicas: int = 1
    more_pids: list[int] = field(default_factory=list)
    labels: bool = False
    companions: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    done: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def grpc_ports(self) -> list[int]:
        """The gRPC port of each server, in their order."""
        return ports.of_replicas(self.grpc_port, self.replicas)

    @property
    def rest_ports(self) -> list[int]:
        """The REST port of each server, in their order."""
        return ports.of_replicas(self.rest_port, self.replicas)

    @property
    def target(self) -> str:
        """The gRPC addresses of all servers on this machine, as the client takes them."""
        return ",".join(f"127.0.0.1:{port}" for port in self.grpc_ports)


def load(folder: Path) -> State | None:
    """The remembered state, or None when nothing was started or the file is damaged."""
    try:
        document = json.loads(files.read_text(folder / "state.json"))
        state = State(**document)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    kinds = {item.name: type(getattr(State("", 0, 0, ""), item.name)) for item in fields(State)}
    return state if all(type(getattr(state, name)) is kind for name, kind in kinds.items()) else None


def damaged(folder: Path) -> bool:
    """True when there is a state file that cannot be used. A crash of the machine can leave one."""
    return os.path.lexists(folder / "state.json") and load(folder) is None


def save(folder: Path, state: State) -> None:
    """Replace the state file in one step."""
    files.make_folder(folder)
    files.replace(folder / "state.json", json.dumps(asdict(state), indent=1) + "\n")


def forget(folder: Path) -> None:
    """Remove the state: nothing runs any more."""
    path = folder / "state.json"
    if path.is_dir() and not path.is_symlink():
        raise StackError(f"{path} is a folder, and make writes a file there. Remove it.")
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the checkout's lock; two commands that change what runs must not interleave."""
    try:
        files.make_folder(folder)
        handle = files.open_own(folder / "lock")
    except OSError as error:
        if error.errno not in _NOT_OURS:
            raise
        raise Unavailable(
            f"{folder} cannot be written ({error.strerror}), and make keeps its state and its logs there, like models, "
            "data and reports beside it. Work in a copy of the checkout that belongs to you and can be written."
        ) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(
                "Another make command is at work in this checkout; wait for it to end."
            ) from None
        yield
