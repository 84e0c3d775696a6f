"""Processes of this checkout, recognized by their command lines, because a pid may be used again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PROC = Path("/proc")


# True for the command line of a process that is meant.
Recognise = Callable[[str], bool]


def script(root: Path, name: str) -> Recognise:
    """A command of the checkout's `.venv`: who reads the file, or has a longer path that ends like it, is another."""

    def is_ours(command: str) -> bool:
        before, found, after = command.partition(f"{root}/.venv/bin/{name}")
        return bool(found) and after[:1] in ("", " ") and bool(re.fullmatch(r"(.*\bpython[\d.]* )?", before))

    return is_ours


def program(names: Sequence[str], argument: str) -> Recognise:
    """A program of the machine's that was started with an argument that names something of the checkout."""

    def is_ours(command: str) -> bool:
        first, _, rest = command.partition(" ")
        return first.rpartition("/")[2] in names and f" {argument} " in f" {rest} "

    return is_ours


def is_running(pid: int, recognise: Recognise) -> bool:
    """True when this process is one that is meant."""
    return pid > 0 and recognise(_command(pid))


def is_halted(pid: int) -> bool:
    """True for a process that SIGSTOP (or a debugger) has halted."""
    asked = subprocess.run(
        ["ps", "-p", str(pid), "-o", "state="], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()[:1] in ("T", "t")


def find(recognise: Recognise) -> list[int]:
    """The pids of all processes that are meant, also of those that no state file names."""
    return [pid for pid, command in _commands() if recognise(command)]


def stop(pid: int, recognise: Recognise, seconds: float) -> bool:
    """SIGTERM, a wait for the drain, then SIGKILL; False when it had to be killed."""
    os.kill(pid, signal.SIGTERM)
    # A halted process takes the signal only when it goes on.
    os.kill(pid, signal.SIGCONT)
    deadline = time.monotonic() + seconds
    while is_running(pid, recognise):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return False
        time.sleep(0.1)
    return True


def _command(pid: int) -> str:
    """The command line of a process; empty when it is gone (or has ended and nobody has asked for its status yet)."""
    if PROC.joinpath("self").exists():
        try:
            return (
                PROC.joinpath(str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
        except OSError:
            return ""
    asked = subprocess.run(
        ["ps", "-ww", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    )
    return asked.stdout


def _commands() -> list[tuple[int, str]]:
    if PROC.joinpath("self").exists():
        pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal()]
        return [(pid, _command(pid)) for pid in pids]
    asked = subprocess.run(
        ["ps", "-axww", "-o", "pid=,command="], capture_output=True, text=True, check=False
    )
    pairs = (line.strip().partition(" ") for line in asked.stdout.splitlines())
    return [(int(pid), command) for pid, _, command in pairs if pid.isdecimal()]
