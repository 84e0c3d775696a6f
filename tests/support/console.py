"""A real `atelier-console` process for tests, on a free loopback port."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.ports import free_port

COMMAND = str(Path(sys.executable).parent / "atelier-console")
START_SECONDS = 30


@dataclass
class RunningConsole:
    """Where it answers (a URL without a path), its process and its log."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def log_text(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        """(status, body); redirects are followed."""
        return _answer(urllib.request.Request(self.url + path, headers=dict(headers or {})))

    def post(
        self, path: str, document: Any, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """(status, the JSON answer); `document` is sent as JSON, bytes as they are."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        sent = {"content-type": "application/json", **(headers or {})}
        status, text = _answer(urllib.request.Request(self.url + path, body, sent, method="POST"))
        try:
            return status, json.loads(text)
        except ValueError:
            return status, {"error": text}

    def ask(self, document: Any, model: str = "fashion") -> tuple[int, dict[str, Any]]:
        """The answer to a try."""
        return self.post(f"/api/models/{model}/ask", document)


def _answer(request: urllib.request.Request) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@contextlib.contextmanager
def running_console(
    folder: Path, target: str, *arguments: str, environ: Mapping[str, str] | None = None
) -> Iterator[RunningConsole]:
    """Run it until the block ends; its folders `models`, `data`, `reports`, `runs`, `feedback` are under `folder`."""
    port = free_port()
    folders = [f"--{name}={folder / name}" for name in ("models", "data", "reports", "runs", "feedback")]
    command = [COMMAND, f"--port={port}", f"--target={target}", *folders, *arguments]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ATELIER_")}
    with (
        tempfile.NamedTemporaryFile(prefix="console-", suffix=".log") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env={**inherited, **(environ or {})}) as process,
    ):
        console = RunningConsole(f"http://127.0.0.1:{port}", process, Path(log.name))
        try:
            _await(console)
            yield console
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()


def _await(console: RunningConsole) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and console.process.poll() is None:
        try:
            if console.get("/healthz")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the console did not come up (exit {console.process.poll()}):\n{console.log_text()}")
