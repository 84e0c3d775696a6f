"""ENGINE=local: companions of the server as processes of their own, with pid, log and data in `.atelier`."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from stack import files
from stack import state as states
from stack.console import note
from stack.engines import observe_files, processes
from stack.engines.companion_commands import CompanionCommands
from stack.errors import StepFailed
from stack.settings import CONSOLE, PROMETHEUS, Settings
from stack.state import State

STOP_SECONDS = 10.0


class LocalCompanions:
    """Starts and stops them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.state_dir
        self._commands = CompanionCommands(settings)

    def start(self, name: str, port: int, state: State) -> None:
        """Start one in its own session, its output in its log. Raises `StackError`, `OSError`."""
        start = self._commands.start(name, port, state)
        if name != CONSOLE:
            self._write_files(state)
        with files.open_own(self.log(name)) as log:
            process = subprocess.Popen(
                start.command,
                env=start.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        state.companions[name] = {"port": port, "pid": process.pid}
        # The pid is saved at once. If this command is interrupted, `make down` still finds the process.
        try:
            states.save(self._folder, state)
        except OSError:
            process.terminate()
            process.wait()
            raise
        self._tell_prometheus(name, state)
        # One with a wrong configuration ends at once.
        time.sleep(0.3)
        if process.poll() is not None:
            raise StepFailed(f"it stopped at once (exit {process.returncode}); {self.log(name)} says why.")

    def running(self, name: str, state: State) -> bool:
        """True when the remembered pid is alive and is still this companion."""
        known = state.companions.get(name)
        return known is not None and processes.is_running(known["pid"], self._commands.recognise[name])

    def stop(self, name: str, state: State) -> None:
        """Stop one, and forget it."""
        if self.running(name, state):
            self._stop(name, state.companions[name]["pid"])
        state.companions.pop(name, None)
        self._tell_prometheus(name, state)

    def stop_all(self, state: State) -> None:
        """Stop all that the state knows of, and what is left of others."""
        for name in list(state.companions):
            self.stop(name, state)
        self.stop_forgotten()

    def stop_forgotten(self) -> bool:
        """Stop those that no state file tells of; True when there was one."""
        found = [
            (name, pid)
            for name, recognise in self._commands.recognise.items()
            for pid in processes.find(recognise)
        ]
        for name, pid in found:
            self._stop(name, pid)
        return bool(found)

    def follow(self, state: State) -> None:
        """Prometheus reads the file of addresses again when it changes."""
        if PROMETHEUS in state.companions:
            self._write_files(state)

    def log(self, name: str) -> Path:
        """Where its output goes."""
        return self._folder / f"{name}.log"

    def _stop(self, name: str, pid: int) -> None:
        if not processes.stop(pid, self._commands.recognise[name], STOP_SECONDS):
            note(f"{name} did not stop within {STOP_SECONDS:.0f} s; killed pid {pid}.")

    def _tell_prometheus(self, name: str, state: State) -> None:
        """Prometheus looks for the console where it is now."""
        if name == CONSOLE and PROMETHEUS in state.companions:
            self._write_files(state)

    def _write_files(self, state: State) -> None:
        console = self._port(CONSOLE, state)
        address = f"127.0.0.1:{console}" if console else None
        servers = [f"127.0.0.1:{port}" for port in state.rest_ports]
        observe_files.write(self._settings, servers, address)

    def address(self, name: str, state: State) -> str:
        """Where a browser finds it."""
        return f"http://127.0.0.1:{self._port(name, state)}"

    def _port(self, name: str, state: State) -> int:
        return state.companions[name]["port"] if name in state.companions else 0
