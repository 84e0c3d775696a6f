"""Two workers of one thread each against one process of two threads, on the same job."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

from benchmarks.row import BIN, ROOT, Row, run
from benchmarks.server import free_port

TRAIN = BIN / "atelier-trainer"
SEEDS = (1, 2, 3)
JOBS = ("fashion-dense", "fashion-cnn")
# A network of convolutions is trained for some epochs only: the ratio does not depend on their number.
SETTINGS = {"fashion-dense": (), "fashion-cnn": ("--set", "fit.epochs=3")}


@dataclass(frozen=True)
class Result:
    """Test accuracy, and the seconds of the fitting."""

    accuracy: float
    seconds: float


def measure() -> Iterator[Row]:
    """A row a job."""
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        bench = Path(folder)
        run([TRAIN, "data", "fetch", "fashion-mnist", "--data", bench / "data"])
        for job in JOBS:
            yield _row(job, bench)


def _row(job: str, bench: Path) -> Row:
    alone, together = [], []
    for seed in SEEDS:
        alone.append(_train(bench, job, seed, workers=1))
        together.append(_train(bench, job, seed, workers=2))
    accuracies = [statistics.mean(result.accuracy for result in results) for results in (alone, together)]
    seconds = [statistics.median(result.seconds for result in results) for results in (alone, together)]
    apart = abs(accuracies[0] - accuracies[1])
    return Row(
        f"`{job}`, one process of 2 threads; 2 workers of 1 thread, whose weights are equal to the bit after each "
        "epoch: test accuracy, mean of 3 seeds; fitting, median; ratio",
        f"{accuracies[0]:.4f}; {accuracies[1]:.4f}; {seconds[0]:.1f} s; {seconds[1]:.1f} s; "
        f"{seconds[1] / seconds[0]:.2f} times",
        "accuracies within 0.005; the rest stated",
        apart <= 0.005,
    )


def _train(bench: Path, job: str, seed: int, workers: int) -> Result:
    """The workers' own check of their weights ends a training in which they differ."""
    threads = {**os.environ, "TF_NUM_INTRAOP_THREADS": str(2 // workers)}
    command: list[Any] = [TRAIN, "train", job, "--seed", seed, *SETTINGS[job], "--data", bench / "data"]
    command += ["--models", bench / f"models-{workers}", "--runs", bench / f"runs-{workers}"]
    if workers == 1:
        return _result(run(command, threads).stdout)
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(workers)]
    command += ["--set", "fit.strategy=multi_worker"]
    tasks = [{"type": "worker", "index": index} for index in range(workers)]
    each = [
        threads | {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task})}
        for task in tasks
    ]
    others = [
        Popen(list(map(str, command)), env=its, cwd=ROOT, stdout=DEVNULL, stderr=DEVNULL) for its in each[1:]
    ]
    try:
        return _result(run(command, each[0]).stdout)
    finally:
        for other in others:
            other.wait(60)


def _result(stdout: str) -> Result:
    printed = json.loads(stdout.splitlines()[-1])
    return Result(printed["metrics"]["accuracy"], printed["seconds"]["fit"])
