"""What runs beside the server, as processes of this machine: a real Prometheus, started, killed, moved and stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stack import companions, service
from stack import state as states
from stack.engines import processes
from stack.engines.local import Local
from stack.errors import UsageError
from stack.settings import CONSOLE, GRAFANA, PROMETHEUS, Settings, read_settings
from stack.state import State
from tests.support.checkout import ROOT
from tests.support.ports import free_port
from tests.support.prometheus import tools

# In a make command the process that starts a companion ends before it.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")


class Beside:
    """A checkout's companions without a service: settings as make gives them, and the state between commands."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = State("local", free_port(), free_port(), "model")
        self.ports = {f"{name.upper()}_PORT": str(free_port()) for name in (CONSOLE, PROMETHEUS, GRAFANA)}

    def settings(self, **environ: str) -> Settings:
        return read_settings(self.root, {**self.ports, "CONSOLE": "0", **environ})

    def up(self, **environ: str) -> dict[str, int]:
        """What `make up` does for companions; the ports of those that run then."""
        settings = self.settings(**environ)
        engine = Local(settings)
        with states.exclusive(settings.state_dir):
            wanted = companions.ports(settings, self.state, (self.state.grpc_port, self.state.rest_port))
            now = companions.running(engine, self.state)
            companions.require_ports(wanted, now)
            companions.bring(engine, settings, self.state, wanted, now)
            companions.await_ready(engine, self.state)
        # The next command knows what the file says.
        self.state = states.load(settings.state_dir) or self.state
        return companions.running(engine, self.state)

    @property
    def pid(self) -> int:
        pid: int = self.state.companions[PROMETHEUS]["pid"]
        return pid

    def answers(self) -> bool:
        """Whether Prometheus answers on its port."""
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.ports['PROMETHEUS_PORT']}/-/ready").close()
        except OSError:
            return False
        return True


@pytest.fixture
def beside(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Beside]:
    programs = tmp_path_factory.mktemp("programs")
    binary = tools(programs)
    monkeypatch.setenv("PATH", os.pathsep.join([str(binary), os.environ["PATH"]]))
    root = tmp_path / "my checkout"
    shutil.copytree(ROOT / "deploy", root / "deploy")
    made = Beside(root)
    yield made
    service.down(made.settings())
    assert not processes.find(lambda command: str(root) in command)


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_prometheus_comes_with_observe_stays_and_comes_back_after_a_kill(
    beside: Beside, capsys: pytest.CaptureFixture[str]
) -> None:
    assert beside.up() == {}
    port = int(beside.ports["PROMETHEUS_PORT"])
    assert beside.up(OBSERVE="1") == {PROMETHEUS: port}
    assert beside.answers()
    first = beside.pid
    # What is not asked for stays as it was.
    beside.up()
    assert beside.pid == first
    os.kill(first, signal.SIGKILL)
    wait(lambda: not beside.answers())
    capsys.readouterr()
    service.ps(beside.settings())
    assert (
        f"Prometheus  has stopped; `make up` starts it again at http://127.0.0.1:{port}"
        in capsys.readouterr().out
    )
    assert beside.up() == {PROMETHEUS: port}
    assert beside.pid != first
    service.logs(beside.settings())
    assert "-- prometheus" in capsys.readouterr().out


def test_it_is_moved_and_it_is_left_away(beside: Beside, capsys: pytest.CaptureFixture[str]) -> None:
    beside.up(OBSERVE="1")
    other = str(free_port())
    assert beside.up(PROMETHEUS_PORT=other) == {PROMETHEUS: int(other)}
    assert not beside.answers()
    assert beside.up(OBSERVE="0") == {}
    assert "Prometheus: stopped." in capsys.readouterr().err
    assert beside.up() == {}


def test_it_asks_the_server_at_its_port_and_the_world_cannot_read_the_token(beside: Beside) -> None:
    beside.up(OBSERVE="1")
    folder = beside.root / ".atelier" / "observe" / "prometheus"
    [group] = json.loads((folder / "serving.json").read_text())
    assert group["targets"] == [f"127.0.0.1:{beside.state.rest_port}"]
    assert json.loads((folder / "console.json").read_text()) == [{"targets": []}]
    assert stat.S_IMODE((folder / "console.token").stat().st_mode) == 0o600
    url = f"http://127.0.0.1:{beside.ports['PROMETHEUS_PORT']}/api/v1/targets"

    def asked() -> list[str]:
        with urllib.request.urlopen(url) as answer:
            return [target["scrapeUrl"] for target in json.load(answer)["data"]["activeTargets"]]

    wait(asked)
    assert asked() == [f"http://127.0.0.1:{beside.state.rest_port}/monitoring/prometheus/metrics"]


def test_down_stops_a_halted_one_and_one_that_no_state_file_tells_of(beside: Beside) -> None:
    beside.up(OBSERVE="1")
    os.kill(beside.pid, signal.SIGSTOP)
    service.down(beside.settings())
    wait(lambda: not beside.answers())
    beside.up(OBSERVE="1")
    (beside.root / ".atelier" / "state.json").unlink()
    service.down(beside.settings())
    wait(lambda: not beside.answers())


def test_a_taken_port_is_an_error_for_what_was_asked_for_and_a_sentence_for_the_console(
    beside: Beside, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(UsageError, match=rf"Port {port} .* make up PROMETHEUS_PORT="):
            beside.up(OBSERVE="1", PROMETHEUS_PORT=port)
        assert beside.up(CONSOLE="1", CONSOLE_PORT=port) == {}
        assert f"No console: Port {port} on 127.0.0.1 is taken" in capsys.readouterr().err
    assert beside.up(CONSOLE="1", CONSOLE_PORT=str(beside.state.grpc_port)) == {}
    assert f"No console: Port {beside.state.grpc_port} is asked for twice" in capsys.readouterr().err
    with pytest.raises(
        UsageError, match=f"Port {beside.state.rest_port} is asked for twice: .* PROMETHEUS_PORT"
    ):
        beside.up(OBSERVE="1", PROMETHEUS_PORT=str(beside.state.rest_port))


def test_what_this_machine_lacks_is_said_and_the_rest_runs(
    beside: Beside, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not shutil.which("grafana-server"):
        assert set(beside.up(OBSERVE="1")) == {PROMETHEUS}
        assert "No Grafana: grafana-server is not on the PATH" in capsys.readouterr().err
        beside.up(OBSERVE="0")
    monkeypatch.setenv("PATH", str(beside.root))
    assert beside.up(OBSERVE="1") == {}
    assert "On Debian and Ubuntu: apt-get install prometheus" in capsys.readouterr().err


def test_a_configuration_that_is_wrong_is_said_with_the_log_s_place(
    beside: Beside, capsys: pytest.CaptureFixture[str]
) -> None:
    (beside.root / "deploy" / "observe" / "prometheus" / "rules.yml").write_text("groups: 7")
    assert beside.up(OBSERVE="1") == {}
    said = capsys.readouterr().err
    assert "prometheus.log says why" in said or "Prometheus does not answer" in said


def test_grafana_gets_its_files_its_port_and_no_password(
    beside: Beside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No package index here has Grafana: a script stands in for it, and tells what it was given."""
    script = tmp_path / "programs" / "grafana-server"
    script.parent.mkdir()
    script.write_text(f'#!/bin/bash\nexec -a grafana {sys.executable} {tmp_path}/program.py "$@"\n')
    script.chmod(0o755)
    (tmp_path / "program.py").write_text(
        "import http.server, json, os, sys\n"
        f"json.dump(dict(os.environ), open({str(tmp_path / 'environ.json')!r}, 'w'))\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers()\n"
        "address = (os.environ['GF_SERVER_HTTP_ADDR'], int(os.environ['GF_SERVER_HTTP_PORT']))\n"
        "http.server.HTTPServer(address, Handler).serve_forever()\n"
    )
    monkeypatch.setenv("PATH", os.pathsep.join([str(script.parent), os.environ["PATH"]]))
    assert set(beside.up(OBSERVE="1")) == {PROMETHEUS, GRAFANA}
    given = json.loads((tmp_path / "environ.json").read_text())
    assert given["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    assert given["PROMETHEUS_URL"] == f"http://127.0.0.1:{beside.ports['PROMETHEUS_PORT']}"
    assert (Path(given["ATELIER_DASHBOARDS"]) / "atelier.json").is_file()
    assert (Path(given["GF_PATHS_PROVISIONING"]) / "datasources" / "prometheus.yml").is_file()
    settings = (beside.root / ".atelier" / "observe" / "grafana" / "grafana.ini").read_text()
    for line in ("disable_initial_admin_creation = true", "org_role = Viewer", "disable_login_form = true"):
        assert line in settings.splitlines()
    assert "password" not in settings.replace("no password", "")
    service.down(beside.settings())
    assert subprocess.run(["pgrep", "-f", str(tmp_path / "program.py")], check=False).returncode == 1
