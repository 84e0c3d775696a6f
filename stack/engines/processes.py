"""Server processes of this checkout, recognized by their command lines, because a pid may be used again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

PROC = Path("/proc")


def is_server(pid: int, root: Path) -> bool:
    """True when this process is a server that was started from the checkout."""
    return pid > 0 and _is_server(_command(pid), root)


def is_halted(pid: int) -> bool:
    """True for a process that SIGSTOP (or a debugger) has halted."""
    asked = subprocess.run(
        ["ps", "-p", str(pid), "-o", "state="], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()[:1] in ("T", "t")


def servers(root: Path) -> list[int]:
    """The pids of all servers that were started from the checkout, also of those that no state file names."""
    return [pid for pid, command in _commands() if _is_server(command, root)]


def stop(pid: int, root: Path, seconds: float) -> bool:
    """SIGTERM, a wait for the drain, then SIGKILL; False when it had to be killed."""
    os.kill(pid, signal.SIGTERM)
    # A halted process takes the signal only when it goes on.
    os.kill(pid, signal.SIGCONT)
    deadline = time.monotonic() + seconds
    while is_server(pid, root):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return False
        time.sleep(0.1)
    return True


def _is_server(command: str, root: Path) -> bool:
    """Python runs the script: who reads the file, or has a longer path that ends like it, is another process."""
    before, script, after = command.partition(f"{root}/.venv/bin/atelier-serving")
    return bool(script) and after[:1] in ("", " ") and bool(re.fullmatch(r"(.*\bpython[\d.]* )?", before))


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
