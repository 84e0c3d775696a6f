"""ENGINE=local: the loop as plain processes from one `.venv`, the embedded server in the background."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stack import files
from stack import state as states
from stack.console import note, run_shown
from stack.engines import gpu, processes, venv
from stack.engines.companions import LocalCompanions
from stack.engines.workers import Worker, beside, local_addresses, tf_config
from stack.errors import StepFailed, Unavailable
from stack.imports import Import
from stack.jobs import JobFile
from stack.settings import Settings
from stack.state import State

STOP_SECONDS = 20.0
# The share of requests that the server keeps, as in compose.embedded.yaml.
REQUEST_LOG_RATE = 0.1


class Local:
    """Runs the components on the host; the server's pid, ports and log live in `.atelier`."""

    name = "local"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root = settings.root
        self.log = settings.state_dir / "serving.log"
        self.companions = LocalCompanions(settings)
        self._requests = settings.state_dir / "requests"
        self._server = processes.script(settings.root, "atelier-serving")

    def prepare(self, running: State | None) -> dict[str, Any]:
        """Install what is missing; with GPU=1 refuse a host without an NVIDIA driver, or without a fitting card."""
        if self.settings.gpu:
            if shutil.which("nvidia-smi") is None:
                raise Unavailable(
                    "GPU=1 needs an NVIDIA driver, and nvidia-smi was not found on this machine."
                )
            gpu.require_drivable()
        for name in ("models", "data", "runs", "reports", "feedback"):
            files.require_folder(self.root / name)
        venv.ensure(self.root, gpu=self.settings.gpu)
        return {}

    def job(self, job: JobFile) -> str:
        """The job as the trainer finds it: by name, or by its path."""
        return job.name

    def file(self, path: Path) -> str:
        """The path itself."""
        return str(path)

    def inputs(self, source: JobFile | Import) -> str | None:
        """None: here the trainer starts quickly, and looks at the files itself."""
        return None

    def service(self, state: State) -> str:
        """The server's process."""
        return str(state.pid)

    def trainer(self, arguments: Sequence[str], workers: int = 1) -> str:
        """Run `atelier-trainer` with its progress on screen, other workers beside it; return its stdout."""
        command = [str(self.root / ".venv" / "bin" / "atelier-trainer"), *arguments]
        environment = self._environment(0)
        if workers == 1:
            return run_shown(command, environment, capture=True)
        addresses = local_addresses(workers)
        each = [{**environment, "TF_CONFIG": tf_config(addresses, index)} for index in range(workers)]
        others = [Worker(command, its) for its in each[1:]]
        with beside(others, self.settings.state_dir / "logs") as alive:
            return run_shown(command, each[0], capture=True, alive=alive)

    def client(self, arguments: Sequence[str], state: State, alive: Callable[[], bool] | None = None) -> None:
        """Run `atelier-client` against the running service; stop it when `alive` says the service is gone."""
        environment = {**self._environment(state.grpc_port), "ATELIER_MODEL": state.model}
        command = str(venv.ensure(self.root, gpu=state.gpu) / "atelier-client")
        run_shown([command, *arguments], environment, alive=alive)

    def release(
        self, arguments: Sequence[str], state: State, alive: Callable[[], bool] | None = None
    ) -> None:
        """Run a command of the client that changes what is served, with the rules and hooks of GATE."""
        gate = self.settings.releases.gate
        self.client([*arguments, *(["--gate", str(gate)] if gate else [])], state, alive)

    def serve(self, state: State) -> State:
        """Start the server in its own session, its output in the log; return the state with its pid."""
        command = [
            str(self.root / ".venv" / "bin" / "atelier-serving"),
            "--host=127.0.0.1",
            f"--port={state.grpc_port}",
            f"--rest_api_port={state.rest_port}",
            f"--model_config_file={self.root / 'models' / 'models.config'}",
            "--model_config_file_poll_wait_seconds=2",
            # A server that starts again finds labels in models.config for versions that it has yet to load.
            "--allow_version_labels_for_unavailable_models=true",
            "--enable_grpc_healthcheck_service=true",
            "--enable_serialization_as_tensor_content=true",
            f"--request_log_dir={self._requests}",
            f"--request_log_sampling_rate={REQUEST_LOG_RATE}",
        ]
        files.make_folder(self._requests)
        # What users have sent lies there.
        self._requests.chmod(0o700)
        with files.open_own(self.log) as log:
            process = subprocess.Popen(
                command,
                env=self._environment(state.grpc_port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        state.pid = process.pid
        state.labels = True
        # The pid is saved at once. If this command is interrupted, `make down` still finds the server.
        try:
            states.save(self.settings.state_dir, state)
        except OSError:
            process.terminate()
            process.wait()
            raise
        # A server with a wrong configuration ends at once. That is noticed here, before anything waits for its port.
        time.sleep(0.5)
        if process.poll() is not None:
            raise StepFailed(f"The server stopped at once (exit {process.returncode}).\n{self.log_tail()}")
        return state

    def running(self, state: State) -> bool:
        """True when the remembered pid is alive and is still our server (pids are used again)."""
        return processes.is_running(state.pid, self._server)

    def halted(self, state: State) -> str:
        """The command that lets a stopped process go on; empty for one that is not stopped."""
        return f"kill -CONT {state.pid}" if processes.is_halted(state.pid) else ""

    def watch(self, state: State) -> Callable[[], bool]:
        """A function that returns True as long as the server runs."""
        return lambda: self.running(state)

    def stop(self, state: State) -> None:
        """Let the server drain; kill it when it takes longer than STOP_SECONDS. Its companions end first."""
        self.companions.stop_all(state)
        if self.running(state):
            self._stop(state.pid)

    def stop_forgotten(self) -> bool:
        """Stop servers and companions that no state file tells of; True when there was one."""
        companions = self.companions.stop_forgotten()
        forgotten = processes.find(self._server)
        for pid in forgotten:
            self._stop(pid)
        return companions or bool(forgotten)

    def _stop(self, pid: int) -> None:
        if not processes.stop(pid, self._server, STOP_SECONDS):
            note(f"The server did not drain within {STOP_SECONDS:.0f} s; killed pid {pid}.")

    def logs(self, state: State) -> None:
        """Print the server's log, and then those of its companions."""
        paths = {"": self.log, **{name: self.companions.log(name) for name in state.companions}}
        for name, path in paths.items():
            with contextlib.suppress(FileNotFoundError), files.open_regular(path) as log:
                if name:
                    print(f"\n-- {name}", flush=True)
                shutil.copyfileobj(log, sys.stdout.buffer)

    def log_tail(self) -> str:
        """The last lines of the server's log, for an error."""
        try:
            with files.open_regular(self.log) as log:
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            lines = []
        return f"The end of {self.log}:\n" + "\n".join(lines[-15:])

    def ps(self, state: State) -> None:
        """One line for the server process."""
        print(
            f"local  serving  pid {state.pid}  {'running' if self.running(state) else 'stopped'}", flush=True
        )

    def requests(self, state: State) -> str:
        """The folder of the request log."""
        return str(self._requests)

    def models(self, state: State) -> str:
        """The text of models.config, as the server reads it."""
        path = self.root / "models" / "models.config"
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def clean(self, state: State | None) -> None:
        """Nothing: `make clean` removes the folders for every engine."""

    def _environment(self, grpc_port: int) -> dict[str, str]:
        return venv.component_environment(self.root, grpc_port)
