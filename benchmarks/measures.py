"""The measurements, each a function that returns the row of a table."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from atelier_client import Client

from tests.support.models import publish_untrained
from tests.support.server import RunningServer

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parent.parent
SWAPS = 20


@dataclass(frozen=True)
class Row:
    """One line of docs/benchmarks.md."""

    what: str
    measured: str
    target: str
    met: bool


def accuracy(server: RunningServer, models: Path, data: Path) -> Row:
    """Served accuracy against the trainer's own evaluation of the exported model."""
    served = _evaluate(server, models, data)["metrics"]["accuracy"]
    command = [BIN / "atelier-trainer", "evaluate", models / "fashion" / "1", "--data", data]
    own = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return Row(
        "Served accuracy on the 10,000 test images; the trainer's own evaluation of the export",
        f"{served:.4f}; {own['accuracy']:.4f}",
        "0.88 or better; equal to the last example",
        served >= 0.88 and round(served * 10_000) == round(own["accuracy"] * own["examples"]),
    )


def import_time() -> Row:
    """`import atelier_client` in a fresh interpreter, the interpreter's own start taken off; median of 7."""
    seconds = statistics.median(_timed([sys.executable, "-c", "import atelier_client"]) for _ in range(7))
    seconds -= statistics.median(_timed([sys.executable, "-c", "pass"]) for _ in range(7))
    check = "import sys, atelier_client; print(any(name.startswith('tensorflow') for name in sys.modules))"
    clean = (
        subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
        == "False\n"
    )
    text = f"{seconds:.2f} s, TensorFlow {'absent' if clean else 'present'}"
    return Row("`import atelier_client`", text, "under 0.4 s, without TensorFlow", seconds < 0.4 and clean)


def installed_size() -> Row:
    """What the client and its locked dependencies add to a Python, in a virtual environment without pip."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder)
        pip = [sys.executable, "-m", "pip", "--python", f"{folder}/bin/python", "install", "--quiet"]
        lock = ROOT / "client" / "requirements.lock"
        subprocess.run([*pip, "--require-hashes", "-r", lock], check=True)
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", ROOT / "client"], check=True)
        size = sum(
            path.stat().st_size
            for path in Path(folder).rglob("*")
            if path.is_file() and not path.is_symlink()
        )
    return Row(
        "The client with its dependencies, on disk", f"{size / 1e6:.0f} MB", "under 150 MB", size < 150e6
    )


def evaluate_against_the_usual_loop(server: RunningServer, models: Path, data: Path) -> Row:
    """Process start to report data, against the usual client loop on the same server; median of 5 and of 3."""
    mine = statistics.median(_timed(_evaluate_command(server, models, data)) for _ in range(5))
    usual = [sys.executable, "-m", "benchmarks.usual_client", server.grpc, str(data)]
    theirs = statistics.median(_timed(usual) for _ in range(3))
    return Row(
        "`atelier-client evaluate --json` over 10,000 images; the usual client loop; ratio",
        f"{mine:.2f} s; {theirs:.1f} s; {theirs / mine:.0f} times",
        "at least 20 times faster",
        theirs / mine >= 20,
    )


def swaps(server: RunningServer, models: Path) -> Row:
    """From a version's rename to its first answer, under load from two threads; p95 of 20 swaps."""
    image, failures, stop, delays = np.zeros((1, 28, 28), np.uint8), [], threading.Event(), []

    def load() -> None:
        with Client(server.grpc, "fashion") as client:
            while not stop.is_set():
                try:
                    client.predict(image)
                except Exception as error:
                    failures.append(error)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        with Client(server.grpc, "fashion") as client:
            for _ in range(SWAPS):
                version = publish_untrained(models)
                # A folder's rename changes its status time, and nothing after it does.
                renamed = version.stat().st_ctime
                deadline = time.time() + 30
                while client.predict(image).versions[0] < int(version.name) and time.time() < deadline:
                    pass
                delays.append(time.time() - renamed)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    p95 = float(np.percentile(delays, 95))
    return Row(
        f"From a version's rename to its first answer, {SWAPS} swaps under load: p50; p95; failed requests",
        f"{np.median(delays):.2f} s; {p95:.2f} s; {len(failures)}",
        "p95 under 2 s, none failed",
        p95 < 2 and not failures,
    )


def _evaluate(server: RunningServer, models: Path, data: Path) -> dict:
    command = _evaluate_command(server, models, data)
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def _evaluate_command(server: RunningServer, models: Path, data: Path) -> list[str]:
    folders = ["--models", str(models), "--data", str(data), "--reports", str(models.parent / "reports")]
    return [str(BIN / "atelier-client"), "evaluate", "--json", "--target", server.grpc, *folders]


def _timed(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - started
