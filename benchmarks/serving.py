"""The embedded server: how fast it is, and how it swaps versions under load."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from atelier_client import Client

from benchmarks import open_inference, serving_speed
from benchmarks.row import Row
from benchmarks.served import Served, served_model

NOTE = (
    "Client and server share the cores. Of the large batches, client and server move 401 kB a request through "
    "gRPC on the cores that the session in process has for itself."
)
SWAPS = 20


def measure() -> Iterator[Row]:
    """Every row, as it is measured."""
    with served_model("--enable_serialization_as_tensor_content=true") as served:
        yield from serving_speed.measure(served)
        yield from open_inference.measure(served)
        yield swaps(served)


def publish_copy(model: Path) -> Path:
    """Publish the newest version again under the next number, as the contract says: whole, by a rename."""
    newest = max(
        (folder for folder in model.iterdir() if folder.name.isdigit()), key=lambda folder: int(folder.name)
    )
    staging = model / ".staging-benchmark"
    shutil.copytree(newest, staging)
    return staging.rename(model / str(int(newest.name) + 1))


def swaps(served: Served) -> Row:
    """From a version's rename to its first answer, under load from two threads; p95 of 20 swaps."""
    image, failures, stop, delays = np.zeros((1, 28, 28), np.uint8), [], threading.Event(), []

    def load() -> None:
        with Client(served.server.grpc, "fashion") as client:
            while not stop.is_set():
                try:
                    client.predict(image)
                except Exception as error:
                    failures.append(error)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        with Client(served.server.grpc, "fashion") as client:
            for _ in range(SWAPS):
                version = publish_copy(served.models / "fashion")
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
