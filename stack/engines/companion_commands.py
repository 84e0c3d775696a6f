"""ENGINE=local: how each companion of the server is started on this machine, and how its process is known again."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

from stack import files
from stack.engines import processes, venv
from stack.errors import Unavailable
from stack.settings import CONSOLE, GRAFANA, PROMETHEUS, Settings
from stack.state import State

# Where Grafana's own packages put what it needs besides the program.
_GRAFANA_HOME = "/usr/share/grafana"


@dataclass(frozen=True)
class Start:
    """A command and its environment."""

    command: list[str]
    environment: dict[str, str]


class CompanionCommands:
    """The commands of one checkout."""

    def __init__(self, settings: Settings) -> None:
        self._root = settings.root
        self._folder = settings.state_dir
        self._given = settings.state_dir / "observe"
        self._prometheus = f"--config.file={self._given / 'prometheus' / 'prometheus.yml'}"
        self._grafana = f"--config={self._given / 'grafana' / 'grafana.ini'}"
        self.recognise = {
            CONSOLE: processes.script(self._root, "atelier-console"),
            PROMETHEUS: processes.program(["prometheus"], self._prometheus),
            GRAFANA: processes.program(["grafana", "grafana-server"], self._grafana),
        }

    def start(self, name: str, port: int, state: State) -> Start:
        """What starts a companion. Raises `Unavailable` with what to install, and `OSError`."""
        starts = {
            CONSOLE: self._start_console,
            PROMETHEUS: self._start_prometheus,
            GRAFANA: self._start_grafana,
        }
        return starts[name](port, state)

    def _start_console(self, port: int, state: State) -> Start:
        rest = ",".join(f"http://127.0.0.1:{number}" for number in state.rest_ports)
        command = [
            str(venv.ensure(self._root, gpu=state.gpu) / "atelier-console"),
            f"--port={port}",
            f"--rest={rest}",
        ]
        return Start(command, venv.component_environment(self._root, state.target))

    def _start_prometheus(self, port: int, state: State) -> Start:
        program = shutil.which("prometheus")
        if program is None:
            raise Unavailable(
                "prometheus is not on the PATH. On Debian and Ubuntu: apt-get install prometheus (that starts one on "
                "port 9090: stop it, or choose PROMETHEUS_PORT)."
            )
        data = self._folder / "prometheus"
        files.make_folder(data)
        command = [
            program,
            self._prometheus,
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=15d",
            "--storage.tsdb.retention.size=1GB",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        return Start(command, dict(os.environ))

    def _start_grafana(self, port: int, state: State) -> Start:
        program = shutil.which("grafana-server")
        if program is None:
            raise Unavailable(
                "grafana-server is not on the PATH (grafana.com/grafana/download has packages). Prometheus shows the "
                "same numbers, and deploy/observe/grafana/dashboards/atelier.json goes into any Grafana."
            )
        data = self._folder / "grafana"
        files.make_folder(data)
        given = self._given / "grafana"
        settings = {
            "SERVER_HTTP_ADDR": "127.0.0.1",
            "SERVER_HTTP_PORT": str(port),
            "PATHS_DATA": str(data),
            "PATHS_LOGS": str(data / "log"),
            "PATHS_PLUGINS": str(data / "plugins"),
            "PATHS_PROVISIONING": str(given / "provisioning"),
        }
        prometheus = state.companions.get(PROMETHEUS, {"port": 0})
        environment = {
            **os.environ,
            **{f"GF_{name}": value for name, value in settings.items()},
            "ATELIER_DASHBOARDS": str(given / "dashboards"),
            "PROMETHEUS_URL": f"http://127.0.0.1:{prometheus['port']}",
        }
        return Start([program, f"--homepath={_GRAFANA_HOME}", self._grafana], environment)
