"""A real Prometheus for tests: the machine's own, or Debian's package unpacked without installing it."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port

START_SECONDS = 30


def tools(folder: Path) -> Path:
    """The folder with `prometheus` and `promtool`; skips, with the package's name, where neither way leads to them."""
    found = find(folder)
    if isinstance(found, str):
        pytest.skip(found)
    return found


def find(folder: Path) -> Path | str:
    """The same, or why there are none. The package is unpacked in `folder`."""
    found = shutil.which("prometheus")
    if found and shutil.which("promtool"):
        return Path(found).parent
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return "prometheus and promtool are not on the PATH: on Debian, apt-get install prometheus"
    # An installed package would start a service of its own on this machine.
    fetch = "apt-get download prometheus || (apt-get update && apt-get download prometheus)"
    script = f"({fetch}) && dpkg-deb -x prometheus_*.deb unpacked"
    done = subprocess.run(
        ["sh", "-c", script], cwd=folder, capture_output=True, text=True, timeout=280, check=False
    )
    if done.returncode:
        return f"Debian's package prometheus cannot be fetched: {done.stderr.strip()[-300:]}"
    return folder / "unpacked" / "usr" / "bin"


@dataclass
class Prometheus:
    """Where it answers."""

    address: str

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query: each `{"metric": {label: value}, "value": [time, text]}`."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def get(self, what: str, **arguments: str) -> Any:
        """The data of an answer of its API. Raises `AssertionError` with its words for a question that is wrong."""
        url = f"http://{self.address}/api/v1/{what}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{arguments}: {error.read().decode()}") from None


@contextlib.contextmanager
def running_prometheus(binary: Path, folder: Path) -> Iterator[Prometheus]:
    """Run it with the prometheus.yml in `folder`, its data beside it, until the block ends."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        str(binary),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://{address}/-/ready", timeout=2).close()
                    break
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                assert time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
                time.sleep(0.1)
            yield Prometheus(address)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
