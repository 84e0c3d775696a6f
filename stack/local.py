"""ENGINE=local: the loop as plain processes from one `.venv`, the embedded server in the background."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from stack import state as states
from stack import venv
from stack.console import note, run_shown
from stack.errors import StepFailed, Unavailable
from stack.settings import Settings
from stack.state import State

STOP_SECONDS = 20.0


class Local:
    """Runs the components on the host; the server's pid, ports and log live in `.atelier`."""

    name = "local"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root = settings.root
        self.log = settings.state_dir / "serving.log"

    def prepare(self, running: State | None) -> dict[str, Any]:
        """Install what is missing; with GPU=1 refuse a host without an NVIDIA driver first."""
        if self.settings.gpu and shutil.which("nvidia-smi") is None:
            raise Unavailable("GPU=1 needs an NVIDIA driver, and nvidia-smi was not found on this machine.")
        venv.ensure(self.root, gpu=self.settings.gpu)
        return {}

    def job(self, name: str) -> str:
        """The job as the trainer finds it: by name, or by its path."""
        return name

    def trainer(self, arguments: Sequence[str]) -> str:
        """Run `atelier-trainer` with its progress on screen; return its stdout."""
        command = self.root / ".venv" / "bin" / "atelier-trainer"
        return run_shown([str(command), *arguments], self._environment(0), capture=True)

    def client(self, arguments: Sequence[str], state: State, alive: Callable[[], bool] | None = None) -> None:
        """Run `atelier-client` against the running service; stop it when `alive` says the service is gone."""
        environment = {**self._environment(state.grpc_port), "ATELIER_MODEL": state.model}
        command = str(venv.ensure(self.root, gpu=state.gpu) / "atelier-client")
        run_shown([command, *arguments], environment, alive=alive)

    def serve(self, state: State) -> State:
        """Start the server in its own session, its output in the log; return the state with its pid."""
        command = [
            str(self.root / ".venv" / "bin" / "atelier-serving"),
            "--host=127.0.0.1",
            f"--port={state.grpc_port}",
            f"--rest_api_port={state.rest_port}",
            f"--model_config_file={self.root / 'models' / 'models.config'}",
            "--model_config_file_poll_wait_seconds=2",
            "--enable_grpc_healthcheck_service=true",
            "--enable_serialization_as_tensor_content=true",
        ]
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                command,
                env=self._environment(state.grpc_port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        state.pid = process.pid
        # Remembered before anything can interrupt: a server nobody knows of could not be stopped.
        states.save(self.settings.state_dir, state)
        # A server that dies at once (bad configuration) is known by its exit, before anyone waits for its port.
        time.sleep(0.5)
        if process.poll() is not None:
            raise StepFailed(f"The server stopped at once (exit {process.returncode}).\n{self.log_tail()}")
        return state

    def running(self, state: State) -> bool:
        """True when the remembered pid is alive and is still our server (pids are used again)."""
        if not state.pid:
            return False
        seen = subprocess.run(
            ["ps", "-p", str(state.pid), "-o", "command="], capture_output=True, text=True, check=False
        )
        return "atelier-serving" in seen.stdout and str(self.root) in seen.stdout

    def stop(self, state: State) -> None:
        """SIGTERM, a bounded wait for the drain, then SIGKILL."""
        if not self.running(state):
            return
        os.kill(state.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while self.running(state) and time.monotonic() < deadline:
            time.sleep(0.1)
        if self.running(state):
            note(f"The server did not drain within {STOP_SECONDS:.0f} s; killing pid {state.pid}.")
            os.kill(state.pid, signal.SIGKILL)

    def logs(self, state: State | None) -> None:
        """Print the server's log."""
        sys.stdout.write(self.log.read_text(errors="replace") if self.log.exists() else "")

    def log_tail(self) -> str:
        """The last lines of the server's log, for an error."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return f"The end of {self.log}:\n" + "\n".join(lines[-15:])

    def ps(self, state: State) -> None:
        """One line for the server process."""
        print(
            f"local  serving  pid {state.pid}  {'running' if self.running(state) else 'stopped'}", flush=True
        )

    def clean(self, state: State | None) -> None:
        """Nothing beyond the folders that `make clean` removes for every engine."""

    def _environment(self, grpc_port: int) -> dict[str, str]:
        return venv.component_environment(self.root, grpc_port)
