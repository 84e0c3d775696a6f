"""The processes that Ray has started under a process, read from /proc."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path


def descendants(pid: int) -> dict[int, str]:
    """The command lines of all processes under `pid`, by process id."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # It may end meanwhile.
        with contextlib.suppress(OSError):
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            if after_name[0] != "Z":
                parents[int(folder.name)] = int(after_name[1])
    found: dict[int, str] = {}
    above = {pid}
    while above := {child for child, parent in parents.items() if parent in above}:
        for child in above:
            with contextlib.suppress(OSError):
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def actors(pid: int) -> list[int]:
    """The actors that work for `pid`, which is connected to a Ray that it started."""
    return [child for child, line in descendants(pid).items() if line.startswith("ray::MapWorker")]


def await_end(pids: dict[int, str], seconds: float = 20) -> list[str]:
    """Wait until the processes have ended; the command lines of those that have not."""
    deadline = time.monotonic() + seconds
    while left := [line for pid, line in pids.items() if Path(f"/proc/{pid}/exe").exists()]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return left


def listened_on(pids: Iterable[int]) -> set[str]:
    """The addresses, in hexadecimal as in /proc/net/tcp, on which the processes listen."""
    return {local.partition(":")[0] for local, _, state in _sockets(pids) if state == "0A"}


def are_connected(pids: Iterable[int], port: int) -> bool:
    """True when one of the processes has a connection to a port of this machine."""
    return any(remote.endswith(f":{port:04X}") for _, remote, state in _sockets(pids) if state == "01")


def _sockets(pids: Iterable[int]) -> Iterator[tuple[str, str, str]]:
    """Local address, remote address and state of each TCP socket of the processes."""
    own: set[str] = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            with contextlib.suppress(OSError):
                own.add(str(descriptor.readlink()))
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            if f"socket:[{cells[9]}]" in own:
                yield cells[1], cells[2], cells[3]
