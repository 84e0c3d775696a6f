"""From a served model's own request log to the name of what is wrong with the camera."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from atelier_client import Client
from atelier_client.request_log import read

from tests.support.client_command import command
from tests.support.drift_models import figures, publish
from tests.support.server import running_server


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_an_inverted_camera_is_named_from_the_servers_log(tmp_path: Path, protocol: str) -> None:
    publish(tmp_path / "models", "pictures")
    requests = tmp_path / "requests"
    pictures = figures(np.random.default_rng(4), 1200)
    flags = (f"--request_log_dir={requests}", "--request_log_sampling_rate=1")
    with (
        running_server(tmp_path / "models", *flags, model="pictures") as server,
        Client(getattr(server, protocol), "pictures") as client,
    ):
        for first in range(0, 1200, 20):
            shown = pictures[first : first + 20]
            client.predict(255 - shown if first >= 600 else shown, version=1)
        # Records are written by a thread of the server's own.
        deadline = time.monotonic() + 30
        while sum(1 for _ in read(requests, "pictures")) < 60:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    metrics = tmp_path / "drift.prom"
    where = ["--models", tmp_path / "models", "--reports", tmp_path / "reports", "--metrics", metrics]
    done = command("drift", "--log", requests, "--model", "pictures", "--every", 600, *where)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "share inverted 0 -> 1: an inverted camera" in done.stdout
    document = json.loads((tmp_path / "reports" / "drift.json").read_text())
    assert [window["verdict"] for window in document["windows"]] == ["stable", "changed"]
    if promtool := shutil.which("promtool"):
        text = metrics.read_bytes()
        assert subprocess.run([promtool, "check", "metrics"], input=text, check=False).returncode == 0
