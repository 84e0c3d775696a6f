"""A fresh checkout for tests of the stack: a user's, set up by the README's commands alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Checkout:
    """A copy of the tracked files, and the settings its make commands get."""

    path: Path
    settings: dict[str, str] = field(default_factory=dict)

    def make(self, *arguments: str, expect: int = 0, timeout: float = 1500, **environ: str) -> str:
        """Run make; check its exit status; return stdout and stderr together."""
        command = [
            "make",
            "--no-print-directory",
            *arguments,
            *(f"{k}={v}" for k, v in self.settings.items()),
        ]
        done = subprocess.run(
            command,
            cwd=self.path,
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        # make turns every failure of a recipe into its own exit status 2 and names the recipe's.
        assert (done.returncode == 0) == (expect == 0), done.stdout
        assert expect == 0 or f"Error {expect}" in done.stdout, done.stdout
        assert "Traceback" not in done.stdout, done.stdout
        return done.stdout

    def interrupt_up(self, stage: str) -> str:
        """Run `make up` in a process group of its own, as a terminal does; send the group SIGINT at a stage's line."""
        command = ["make", "--no-print-directory", "up", *(f"{k}={v}" for k, v in self.settings.items())]
        process = subprocess.Popen(
            command,
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        lines = []
        assert process.stdout is not None
        with process:
            for line in process.stdout:
                lines.append(line)
                if line.startswith(stage):
                    time.sleep(0.3)
                    os.killpg(process.pid, signal.SIGINT)
        return "".join(lines)

    def processes(self, *names: str) -> list[str]:
        """Command lines of processes of this checkout in which one of the names stands."""
        seen = subprocess.run(["ps", "-axww", "-o", "command="], capture_output=True, text=True, check=True)
        lines = [line for line in seen.stdout.splitlines() if str(self.path) in line]
        return [line for line in lines if any(name in line for name in names)]


def copy_checkout(folder: Path) -> Checkout:
    """Copy the tracked files as they stand in the work tree; the service and the console get free ports."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, files.decode().split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return Checkout(folder, {name: str(free_port()) for name in ("GRPC_PORT", "REST_PORT", "CONSOLE_PORT")})
