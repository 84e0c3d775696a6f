"""Evaluation by Ray's actors against plain processes, on many rows of a small table.

python -m benchmarks.scale_evaluation [EXAMPLES]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.process_memory import watched
from benchmarks.row import BIN, ROOT, Row, run
from benchmarks.server import Server, running_server

EXAMPLES = 10_000_000
PROCESSES = 2
ROW_GROUP = 1 << 16
_COLUMNS = ("a", "b", "c", "d")
# What memory may grow by at ten times as many examples.
_GROWTH_MB = 50


@dataclass(frozen=True)
class Ended:
    """An evaluation: seconds of the whole command, its report, the most memory of its process and of any actor."""

    seconds: float
    report: dict[str, Any]
    driver_mb: float
    actor_mb: float


def measure(examples: int = EXAMPLES) -> Iterator[Row]:
    """Rows for so many examples; memory also for a tenth of them."""
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as name:
        folder = Path(name)
        _train(folder)
        _write_shards(folder / "few", examples // 10)
        _write_shards(folder / "many", examples)
        place = f"--model_name=table --model_base_path={folder / 'models' / 'table'}".split()
        with running_server(folder / "models", *place) as server:
            yield from _rows(server, folder, examples)


def _rows(server: Server, folder: Path, examples: int) -> Iterator[Row]:
    whole = _evaluated(server, folder, ["many"])
    halves = _evaluated(server, folder, [f"many/{number}.parquet" for number in range(PROCESSES)])
    few = _evaluated(server, folder, ["few"], "--engine", "ray", "--actors", str(PROCESSES))
    many = _evaluated(server, folder, ["many"], "--engine", "ray", "--actors", str(PROCESSES))
    seconds = max(ended.seconds for ended in halves)
    asked = many[0].report["throughput"]["seconds"]
    yield Row(
        f"`evaluate` over {examples:,} rows of {len(_COLUMNS)} numbers, 3 classes (Parquet): {PROCESSES} plain "
        f"processes, a file each; `--engine ray` with {PROCESSES} actors, the whole command; ratio; of it, asking; one "
        "plain process",
        f"{seconds:.1f} s; {many[0].seconds:.1f} s; {many[0].seconds / seconds:.2f} times; {asked:.1f} s; "
        f"{whole[0].seconds:.1f} s",
        "stated",
        None,
    )
    plain, by_ray = whole[0].report, many[0].report
    apart = max(abs(plain["metrics"][name] - by_ray["metrics"][name]) for name in plain["metrics"])
    same = plain["confusion_matrix"] == by_ray["confusion_matrix"]
    counted = by_ray["dataset"]["examples"]
    yield Row(
        "The same, Ray's numbers against those of one plain process: rows counted; confusion matrix equal; largest "
        "difference of a metric",
        f"{counted:,}; {'yes' if same else 'no'}; {apart:.1e}",
        f"{examples:,}; yes; 1e-6",
        counted == examples and same and apart <= 1e-6,
    )
    growth = max(many[0].driver_mb - few[0].driver_mb, many[0].actor_mb - few[0].actor_mb)
    yield Row(
        f"Its peak memory, over {examples // 10:,} and over {examples:,} rows: the command's process; the larger actor "
        "(the libraries of Ray included)",
        f"{few[0].driver_mb:.0f} and {many[0].driver_mb:.0f} MB; {few[0].actor_mb:.0f} and {many[0].actor_mb:.0f} MB",
        f"at most {_GROWTH_MB} MB more",
        growth <= _GROWTH_MB,
    )


def _train(folder: Path) -> None:
    """A model of four numbers, trained in seconds."""
    inputs, labels = _examples(2000, seed=0)
    rows = [",".join([*map(str, row), f"class{label}"]) for row, label in zip(inputs, labels, strict=True)]
    (folder / "table.csv").write_text("\n".join([",".join([*_COLUMNS, "label"]), *rows]) + "\n")
    (folder / "table.yaml").write_text(
        "name: table\nmodel: table\ndata: {csv: table.csv, label: label}\nnetwork: {hidden: [16]}\n"
        "fit: {batch_size: 32, epochs: 5, seed: 1}\n"
    )
    where = [part for name in ("data", "models", "runs") for part in (f"--{name}", folder / name)]
    run([BIN / "atelier-trainer", "train", folder / "table.yaml", *where])


def _write_shards(folder: Path, examples: int) -> None:
    """As many files as processes, in row groups."""
    import pyarrow
    from pyarrow import parquet

    folder.mkdir()
    each = examples // PROCESSES
    for number in range(PROCESSES):
        left = each if number < PROCESSES - 1 else examples - each * (PROCESSES - 1)
        writer: Any = None
        for group, first in enumerate(range(0, left, ROW_GROUP)):
            inputs, labels = _examples(min(ROW_GROUP, left - first), seed=1 + number + PROCESSES * group)
            columns = {name: inputs[:, at] for at, name in enumerate(_COLUMNS)}
            table = pyarrow.table(columns | {"label": np.char.add("class", labels.astype(str))})
            writer = writer or parquet.ParquetWriter(folder / f"{number}.parquet", table.schema)
            writer.write_table(table, row_group_size=ROW_GROUP)
        writer.close()


def _examples(rows: int, seed: int) -> tuple[Any, Any]:
    """Inputs float32 [rows,4], and the class of the largest of three sums of them with noise."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(rows, len(_COLUMNS))).astype(np.float32)
    weights = np.array([[1, 0, -1, 0], [0, 1, 0, -1], [-1, -1, 1, 1]], np.float32)
    return inputs, (inputs @ weights.T + random.normal(size=(rows, 3))).argmax(axis=1)


def _evaluated(server: Server, folder: Path, files: Sequence[str], *options: str) -> list[Ended]:
    """The command on each of the files, all at the same time."""
    started = time.monotonic()
    ended: list[Ended] = []
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as name:
        processes = [
            _start(server, folder, file, Path(name, str(at)), options) for at, file in enumerate(files)
        ]
        try:
            for at, process in enumerate(processes):
                with watched(process.pid) as peaks:
                    _, errors = process.communicate()
                if process.returncode:
                    raise RuntimeError(f"evaluate exited {process.returncode}:\n{errors[-2000:]}")
                report = json.loads(Path(name, str(at), "evaluation.json").read_text())
                driver = peaks.largest_mb(r"atelier-client evaluate")
                ended.append(
                    Ended(time.monotonic() - started, report, driver, peaks.largest_mb(r"^ray::MapWorker"))
                )
        finally:
            for process in processes:
                if process.poll() is None:
                    process.terminate()
                    process.wait(60)
    return ended


def _start(
    server: Server, folder: Path, file: str, reports: Path, options: Sequence[str]
) -> subprocess.Popen[str]:
    command = [BIN / "atelier-client", "evaluate", folder / file, "--json", "--target", server.grpc]
    command += ["--model", "table", "--models", folder / "models", "--reports", reports, *options]
    return subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


if __name__ == "__main__":
    for row in measure(int(sys.argv[1]) if sys.argv[1:] else EXAMPLES):
        print(f"{row.what}: {row.measured} (target: {row.target})")
