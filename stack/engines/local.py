"""ENGINE=local: the loop as plain processes from one `.venv`, the embedded server in the background."""

from __future__ import annotations

import contextlib
import os
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
from stack.ports import require_free_for_replicas
from stack.settings import TRACKING, Settings
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
        """The servers' processes."""
        return " ".join(map(str, _pids(state)))

    def trainer(self, arguments: Sequence[str], workers: int = 1) -> str:
        """Run `atelier-trainer` with its progress on screen, other workers beside it; return its stdout."""
        command = [str(self.root / ".venv" / "bin" / "atelier-trainer"), *arguments]
        environment = self._environment("127.0.0.1:0")
        if workers == 1:
            return run_shown(command, environment, capture=True)
        addresses = local_addresses(workers)
        each = [{**environment, "TF_CONFIG": tf_config(addresses, index)} for index in range(workers)]
        others = [Worker(command, its) for its in each[1:]]
        with beside(others, self.settings.state_dir / "logs") as alive:
            return run_shown(command, each[0], capture=True, alive=alive)

    def client(self, arguments: Sequence[str], state: State, alive: Callable[[], bool] | None = None) -> None:
        """Run `atelier-client` against the running service; stop it when `alive` says the service is gone."""
        environment = {**self._environment(state.target), "ATELIER_MODEL": state.model}
        command = str(venv.ensure(self.root, gpu=state.gpu) / "atelier-client")
        run_shown([command, *arguments], environment, alive=alive)

    def release(
        self, arguments: Sequence[str], state: State, alive: Callable[[], bool] | None = None
    ) -> None:
        """Run a command of the client that changes what is served, with the rules and hooks of GATE."""
        gate = self.settings.releases.gate
        try:
            self.client([*arguments, *(["--gate", str(gate)] if gate else [])], state, alive)
        except StepFailed:
            self._mirror(state.model)
            raise
        self._mirror(state.model)

    def _mirror(self, model: str) -> None:
        """Tell the experiment tracker which version is stable now, where there is a tracker. It may fail."""
        if not os.environ.get(TRACKING):
            return
        try:
            self.trainer(["mirror", model])
        except StepFailed:
            note(f"The labels are not mirrored; `.venv/bin/atelier-trainer mirror {model}` does it later.")

    def serve(self, state: State) -> State:
        """Start the servers; return the state with their pids."""
        for number in range(state.replicas):
            self._start(number, state)
        return state

    def scale(self, state: State, replicas: int) -> list[int]:
        """Start what is missing of so many servers, end those beyond; return the numbers of the started, from 0."""
        for number in reversed(range(replicas, state.replicas)):
            self._end(number, state)
        # The state is saved first. If this command is interrupted, `make down` still finds all servers.
        state.replicas = replicas
        state.more_pids = state.more_pids[: replicas - 1]
        states.save(self.settings.state_dir, state)
        missing = [
            number for number, pid in enumerate(_pids(state)) if not processes.is_running(pid, self._server)
        ]
        require_free_for_replicas(
            [state.grpc_ports[number] for number in missing], [state.rest_ports[number] for number in missing]
        )
        for number in missing:
            self._start(number, state)
        return missing

    def restart(self, state: State, number: int) -> None:
        """Let one server drain, and start it again on its ports."""
        self._end(number, state)
        self._start(number, state)

    def _end(self, number: int, state: State) -> None:
        pid = _pids(state)[number]
        if processes.is_running(pid, self._server):
            self._stop(pid)

    def _start(self, number: int, state: State) -> None:
        """Start a server in its own session, its output in its log, and note its pid."""
        command = [
            str(self.root / ".venv" / "bin" / "atelier-serving"),
            "--host=127.0.0.1",
            f"--port={state.grpc_ports[number]}",
            f"--rest_api_port={state.rest_ports[number]}",
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
        with files.open_own(self._log(number)) as log:
            process = subprocess.Popen(
                command,
                env=self._environment(state.target),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if number:
            state.more_pids += [0] * (number - len(state.more_pids))
            state.more_pids[number - 1] = process.pid
        else:
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
            raise StepFailed(
                f"The server stopped at once (exit {process.returncode}).\n{self._tail(self._log(number))}"
            )

    def running(self, state: State) -> bool:
        """True when a remembered pid is alive and is still our server (pids are used again)."""
        return any(processes.is_running(pid, self._server) for pid in _pids(state))

    def halted(self, state: State) -> str:
        """The command that lets stopped processes go on; empty when none is stopped."""
        halted = [str(pid) for pid in _pids(state) if pid and processes.is_halted(pid)]
        return f"kill -CONT {' '.join(halted)}" if halted else ""

    def watch(self, state: State) -> Callable[[], bool]:
        """A function that returns True as long as the servers run that do now."""
        first = [pid for pid in _pids(state) if processes.is_running(pid, self._server)]
        return lambda: bool(first) and all(processes.is_running(pid, self._server) for pid in first)

    def stop(self, state: State) -> None:
        """Let the servers drain; kill one that takes longer than STOP_SECONDS. Their companions end first."""
        self.companions.stop_all(state)
        for number in range(state.replicas):
            self._end(number, state)

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
        """Print the servers' logs, and then those of their companions."""
        more = {f"serving-{number + 1}": self._log(number) for number in range(1, state.replicas)}
        paths = {"": self.log, **more, **{name: self.companions.log(name) for name in state.companions}}
        for name, path in paths.items():
            with contextlib.suppress(FileNotFoundError), files.open_regular(path) as log:
                if name:
                    print(f"\n-- {name}", flush=True)
                shutil.copyfileobj(log, sys.stdout.buffer)

    def log_tail(self) -> str:
        """The last lines of the first server's log, for an error."""
        return self._tail(self.log)

    def _log(self, number: int) -> Path:
        return self.log.with_name(f"serving-{number + 1}.log") if number else self.log

    def _tail(self, path: Path) -> str:
        try:
            with files.open_regular(path) as log:
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            lines = []
        return f"The end of {path}:\n" + "\n".join(lines[-15:])

    def ps(self, state: State) -> None:
        """One line for each server process."""
        for number, pid in enumerate(_pids(state)):
            word = "running" if processes.is_running(pid, self._server) else "stopped"
            which = f"serving {number + 1}" if state.replicas > 1 else "serving"
            print(f"local  {which}  pid {pid}  {word}", flush=True)

    def requests(self, state: State) -> str:
        """The folder of the request log."""
        return str(self._requests)

    def models(self, state: State) -> str:
        """The text of models.config, as the server reads it."""
        path = self.root / "models" / "models.config"
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def clean(self, state: State | None) -> None:
        """Nothing: `make clean` removes the folders for every engine."""

    def _environment(self, target: str) -> dict[str, str]:
        return venv.component_environment(self.root, target)


def _pids(state: State) -> list[int]:
    """The pid of each server, 0 for one that was not started."""
    pids = [state.pid, *state.more_pids][: state.replicas]
    return [*pids, *[0] * (state.replicas - len(pids))]
