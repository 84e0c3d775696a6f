"""Commands on the service wait for one that is just being started again, and for no other."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import served, service
from stack.engines.local import Local
from stack.settings import read_settings
from stack.state import State

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
    assert served.newest(state.rest_port, "model") == 3


def test_a_service_that_is_gone_is_not(tmp_path: Path, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    state = State("local", 1, int(process.stdout.readline()), "model", pid=process.pid)
    process.kill()
    process.wait()
    started = time.monotonic()
    service.wait_for_answers(Local(read_settings(tmp_path, {})), state)
    assert time.monotonic() - started < service.ANSWER_SECONDS / 2
