"""A real `atelier-serving` process for tests, on free loopback ports."""

import contextlib
import os
import resource
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from atelier_client import Client

from tests.support.ports import free_port

START_SECONDS = 120
# `make soak` asks for the front that is not the default (ATELIER_GRPC_FRONT=grpcio).
FRONT = os.environ.get("ATELIER_GRPC_FRONT", "auto")
# The console script of this environment.
COMMAND = str(Path(sys.executable).parent / "atelier-serving")


@dataclass
class Address:
    """Where a server answers: host:port of gRPC, and the URL of REST without a path."""

    grpc: str
    rest: str


@dataclass
class RunningServer(Address):
    """Where it answers, its process and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def log_text(self) -> str:
        """What the server has printed so far."""
        return self.log.read_text(errors="replace")

    def resident(self) -> int:
        """Bytes of memory that its process holds now."""
        statm = Path(f"/proc/{self.process.pid}/statm").read_text()
        return int(statm.split()[1]) * resource.getpagesize()


@contextlib.contextmanager
def running_server(
    models: Path,
    *flags: str,
    model: str = "fashion",
    port: int | None = None,
    context: ssl.SSLContext | None = None,
    program: str = COMMAND,
) -> Iterator[RunningServer]:
    """Serve `models/<model>` (or what `--model_config_file` says) until the block ends; `context` for TLS.

    `program` is the server's command, of another environment than this one.
    """
    port = port or free_port()
    while (rest_port := free_port()) == port:
        pass
    command = [
        program,
        "--host=127.0.0.1",
        f"--port={port}",
        f"--rest_api_port={rest_port}",
        f"--model_name={model}",
        f"--model_base_path={models / model}",
        f"--grpc_front={FRONT}",
        *flags,
    ]
    with (
        tempfile.NamedTemporaryFile(prefix="serving-", suffix=".log") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        server = RunningServer(f"127.0.0.1:{port}", f"http://127.0.0.1:{rest_port}", process, Path(log.name))
        try:
            await_answer(server, context)
            yield server
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()


def await_versions(server: Address, model: str, *versions: int) -> None:
    """Wait for each of them: a server answers as soon as one version of a model does."""
    with Client(server.grpc, model) as client:
        for version in versions:
            client.wait_ready(60, version)


def await_answer(server: RunningServer, context: ssl.SSLContext | None) -> None:
    """The REST port answers last: any answer means that the configured models do."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            base = server.rest.replace("http:", "https:") if context else server.rest
            with urllib.request.urlopen(f"{base}/", timeout=2, context=context):
                return
        except urllib.error.HTTPError as answer:
            answer.close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the server did not come up (exit {server.process.poll()}):\n{server.log_text()}")
