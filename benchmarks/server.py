"""An `atelier-serving` process to measure, on free ports of this machine, by its public command and its `/readyz`."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.row import BIN

_START_SECONDS = 120


@dataclass(frozen=True)
class Server:
    """Where it answers: `grpc` is host:port, `rest` a URL."""

    grpc: str
    rest: str


def free_port() -> int:
    """A port on 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_server(models: Path, *flags: str) -> Iterator[Server]:
    """Serve `models/fashion` until the block ends. Raises `RuntimeError` with the log when it does not come up."""
    port = free_port()
    rest_port = free_port()
    server = Server(f"127.0.0.1:{port}", f"http://127.0.0.1:{rest_port}")
    where = ["--host=127.0.0.1", f"--port={port}", f"--rest_api_port={rest_port}"]
    what = ["--model_name=fashion", f"--model_base_path={models / 'fashion'}"]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            [str(BIN / "atelier-serving"), *where, *what, *flags], stdout=log, stderr=log
        ) as process,
    ):
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not _ready(server):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(
                        f"the server did not come up (exit {process.poll()}):\n{log.read()[-2000:]}"
                    )
                time.sleep(0.02)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def _ready(server: Server) -> bool:
    """Whether every model that is served has a version that answers."""
    try:
        with urllib.request.urlopen(f"{server.rest}/readyz", timeout=2):
            return True
    except OSError:
        return False
