"""Commands on the service wait for one that is just being started again, and for no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import served, service
from stack.engines import container
from stack.engines.compose import Compose
from stack.engines.docker import Docker, ask
from stack.engines.local import Local
from stack.engines.project import project_name
from stack.errors import NotRunning, UsageError
from stack.settings import read_settings
from stack.state import State, save

# Under a server's name: it does not know its model when it is asked first, as while it loads.
SCRIPT = """
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += 1
        status = [{"version": "3", "state": "AVAILABLE"}] if Handler.asked > 2 else []
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"model_version_status": status}).encode())
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    script = tmp_path / ".venv" / "bin" / "atelier-serving"
    script.parent.mkdir(parents=True)
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as started:
        yield started
        started.kill()


def test_a_model_that_is_being_loaded_is_waited_for(tmp_path: Path, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    state = State("local", 1, int(process.stdout.readline()), "model", pid=process.pid)
    service.wait_for_answers(Local(read_settings(tmp_path, {})), state)
    assert served.newest(state.rest_ports, "model") == 3


def test_a_service_that_is_gone_is_not(tmp_path: Path, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    state = State("local", 1, int(process.stdout.readline()), "model", pid=process.pid)
    process.kill()
    process.wait()
    started = time.monotonic()
    service.wait_for_answers(Local(read_settings(tmp_path, {})), state)
    assert time.monotonic() - started < service.ANSWER_SECONDS / 2


def test_a_halted_server_is_named_and_not_waited_for(
    tmp_path: Path, process: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = read_settings(tmp_path, {})
    save(settings.state_dir, State("local", 1, 2, "model", pid=process.pid))
    os.kill(process.pid, signal.SIGSTOP)
    started = time.monotonic()
    for command in (service.predict, service.evaluate):
        with pytest.raises(NotRunning, match=f"`kill -CONT {process.pid}` lets it go on"):
            command(settings)
    service.ps(settings)
    assert f"kill -CONT {process.pid}" in capsys.readouterr().out
    # It ends by the signal, as one that was not halted.
    service.down(settings)
    assert process.wait() == -signal.SIGTERM
    assert time.monotonic() - started < 5


def test_a_paused_container_is_named_and_a_removed_one_too(
    tmp_path: Path, engine: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    if not (images := ask("image", "ls", "--quiet", "atelier-base").stdout.split()):
        pytest.skip("this machine has no image to start a container of")
    settings = read_settings(tmp_path, {})
    state = State("compose", 1, 2, "model", base_image=images[0], embedded=True)
    save(settings.state_dir, state)
    labels = {"project": project_name(tmp_path), "service": "serving", "oneoff": "False"}
    options = [
        word for name, value in labels.items() for word in ("--label", f"com.docker.compose.{name}={value}")
    ]
    identity = ask("run", "--detach", "--init", *options, images[0], "sleep", "60").stdout.strip()
    try:
        ask("pause", identity)
        with pytest.raises(NotRunning, match=f"`docker unpause {identity[:12]}` lets it go on"):
            service.evaluate(settings)
        assert Compose(settings, engine).halted(state)
        ask("unpause", identity)
        assert not Compose(settings, engine).halted(state)
    finally:
        ask("rm", "--force", identity)
    assert container.find(project_name(tmp_path)) is None
    service.ps(settings)
    assert "its container has been removed" in capsys.readouterr().out


def test_an_interrupted_compose_tool_leaves_no_container(tmp_path: Path, engine: Docker) -> None:
    """A script stands in for the tool: it creates the container and never starts it, a moment that is hard to meet."""
    if not (images := ask("image", "ls", "--quiet", "atelier-base").stdout.split()):
        pytest.skip("this machine has no image to make a container of")
    tool = tmp_path / "compose"
    tool.write_text(
        '#!/bin/sh\nwhile [ "$1" != --name ]; do shift || exit; done\n'
        f'docker create --name "$2" {images[0]} true && echo "$2" > {tmp_path}/name\nexec sleep 60\n'
    )
    tool.chmod(0o755)

    def interrupt() -> None:
        while not (tmp_path / "name").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    compose = Compose(read_settings(tmp_path, {}), Docker((str(tool),), ()))
    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        compose.client(["evaluate"], State("compose", 1, 2, "model", base_image=images[0], embedded=True))
    assert ask("container", "inspect", (tmp_path / "name").read_text().strip()).returncode != 0


def test_settings_that_do_not_fit_the_service_are_not_passed_over(
    tmp_path: Path, process: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / ".atelier", State("local", 1, 2, "model", pid=process.pid))
    with pytest.raises(UsageError, match="ENGINE=compose: a service runs with ENGINE=local"):
        service.predict(read_settings(tmp_path, {"ENGINE": "compose"}))
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(NotRunning):
        service.predict(read_settings(tmp_path, {"GRPC_PORT": "9"}))
    assert "The service has the ports 1 and 2" in capsys.readouterr().err
