"""MLServer, a server of the Open Inference Protocol that no one here wrote, in an environment of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import foreign
from tests.support.ports import free_port

START_SECONDS = 120


@dataclass(frozen=True)
class MLServer:
    """Its addresses for the client."""

    grpc: str
    rest: str


@contextlib.contextmanager
def running_mlserver(folder: Path, models: Mapping[str, Mapping[str, Any]]) -> Iterator[MLServer]:
    """MLServer with these models: a folder's name and its model-settings.json. `folder` is new."""
    http_port, grpc_port = free_port(), free_port()
    settings = {
        "host": "127.0.0.1",
        "http_port": http_port,
        "grpc_port": grpc_port,
        # Null: no server of metrics, which would need a third port.
        "metrics_endpoint": None,
        "parallel_workers": 0,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    for name, model in models.items():
        (folder / name).mkdir()
        (folder / name / "model-settings.json").write_text(json.dumps(model))
    command: list[str | Path] = [foreign.python("mlserver").with_name("mlserver"), "start", folder]
    environment = os.environ | {"PYTHONPATH": str(foreign.FOLDER)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
    try:
        _wait(f"http://127.0.0.1:{http_port}/v2/health/ready", process, folder / "log")
        yield MLServer(f"v2+grpc://127.0.0.1:{grpc_port}", f"v2+http://127.0.0.1:{http_port}")
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, urllib.error.URLError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.1)
    raise AssertionError(f"MLServer is not ready:\n{log.read_text()[-3000:]}")
