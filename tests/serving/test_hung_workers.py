"""Workers that hang, and workers that are told to end while requests come: nobody's request is lost to them."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.peer import ONCE
from tests.support.ports import free_port
from tests.support.server import RunningServer, running_server
from tests.support.toy_models import save_toy

BODY = b'{"instances": [1.0]}'


def children(pid: int) -> set[int]:
    """The processes that a process has started."""
    return {int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def workers(pid: int) -> set[int]:
    """The workers among them. A child that has not yet become one holds up the supervisor: it was started by vfork."""
    found = set()
    for child in children(pid):
        with contextlib.suppress(OSError):
            if b"atelier_serving.worker" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                found.add(child)
    return found


def asked(server: RunningServer, connection: http.client.HTTPConnection | None = None) -> int:
    """The status of a predict request, on a connection of its own or on one that is kept."""
    url = urlsplit(server.rest)
    own = connection or http.client.HTTPConnection(str(url.hostname), url.port, timeout=5)
    try:
        own.request("POST", "/v1/models/toy:predict", BODY)
        answer = own.getresponse()
        answer.read()
        return answer.status
    finally:
        if connection is None:
            own.close()


def test_a_worker_that_hangs_is_named_and_replaced(tmp_path: Path) -> None:
    save_toy(tmp_path)
    with running_server(tmp_path, *ONCE, "--workers=2", model="toy") as server:
        deadline = time.monotonic() + 90
        # One that is still starting has more time.
        while server.log_text().count("Exporting HTTP/REST API") < 2:
            assert time.monotonic() < deadline, server.log_text()[-1000:]
            time.sleep(0.05)
        before = children(server.process.pid)
        hung = max(before)
        os.kill(hung, signal.SIGSTOP)
        while hung in children(server.process.pid) or len(children(server.process.pid)) < 2:
            assert time.monotonic() < deadline, server.log_text()[-1000:]
            time.sleep(0.2)
        assert f"Worker {hung} has not answered for 15 s: it hangs, and is killed." in server.log_text()
        assert f"Worker {hung} was killed by signal 9; it is being replaced." in server.log_text()
        # Each connection is somebody's who answers.
        assert {asked(server) for _ in range(30)} == {200}


def test_a_worker_that_hangs_while_it_starts_is_noticed(tmp_path: Path) -> None:
    save_toy(tmp_path)
    limit = "from atelier_serving.workers import supervisor; supervisor.HUNG_START_SECONDS = 8.0"
    code = f"{limit}; from atelier_serving.cli import main; main()"
    flags = [
        f"--port={free_port()}",
        "--model_name=toy",
        f"--model_base_path={tmp_path / 'toy'}",
        "--workers=2",
    ]
    command = [sys.executable, "-c", code, *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        deadline = time.monotonic() + 60
        while len(workers(server.pid)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        hung = max(workers(server.pid))
        os.kill(hung, signal.SIGSTOP)
        printed, _ = server.communicate(timeout=90)
    # At the first start one that fails ends it, as any other that dies there.
    assert f"Worker {hung} has not answered for 8 s: it hangs, and is killed." in printed
    assert "a worker was killed by signal 9 before it was ready" in printed
    assert server.returncode == 255


def test_no_rest_request_that_was_accepted_is_cut_when_all_workers_end(tmp_path: Path) -> None:
    save_toy(tmp_path)
    statuses: list[int] = []
    cut: list[str] = []
    ended = threading.Event()

    def ask(server: RunningServer) -> None:
        while not ended.is_set():
            try:
                statuses.append(asked(server))
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException) as error:
                cut.append(repr(error))

    for _ in range(2):
        with running_server(tmp_path, *ONCE, "--workers=2", model="toy") as server:
            clients = [threading.Thread(target=ask, args=(server,)) for _ in range(8)]
            for client in clients:
                client.start()
            time.sleep(1.0)
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(timeout=30)
            ended.set()
            for client in clients:
                client.join()
            ended.clear()
    assert len(statuses) > 20
    assert set(statuses) <= {200, 503}
    assert cut == []
