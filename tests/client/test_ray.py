"""Evaluation by Ray's actors: the numbers of one process, every example once, whatever is killed."""

import csv
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from atelier_client.cli.main import run
from atelier_client.data import parts
from atelier_client.distributed.cluster import connected
from atelier_client.errors import ClientError, DataError, InputError, ServerFailure, SettingsError
from atelier_client.testing import InMemoryServer
from PIL import Image

from tests.support import ray_processes
from tests.support.client_command import command, start
from tests.support.ports import free_port
from tests.support.server import running_server
from tests.support.small_server import SmallServer, small_server
from tests.support.without_packages import without_packages

# Ray's own use of what it has deprecated (ray/data/context.py).
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")

ROWS = 300
IMAGES = np.random.default_rng(0).integers(0, 256, [ROWS, 28, 28], np.uint8)
LABELS = np.random.default_rng(1).integers(0, 10, ROWS)
REGIONS = np.array(["north", "south", "east"])[np.random.default_rng(2).integers(0, 3, ROWS)]
# What differs from run to run.
MEASURED = ("latency_ms", "latency_histogram", "throughput", "environment")


class Line:
    """Serves y = 2x, counts how often each x was asked; slowly after `slow` was set; fails from `fails_at` on."""

    def __init__(self) -> None:
        self.asked: Counter[float] = Counter()
        self.slow = 0.0
        self.fails_at = np.inf
        self.first = threading.Event()

    def __call__(self, inputs: Any) -> Any:
        rows = inputs["x"].reshape(-1)
        self.asked.update(rows.tolist())
        self.first.set()
        time.sleep(self.slow)
        if rows.max() >= self.fails_at:
            raise ServerFailure("it failed", "INTERNAL", "it failed")
        return {"prediction": rows * 2}


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """One Ray with room for two actors, to which the commands that run in this process are connected."""
    with connected(None, 2):
        yield


@pytest.fixture
def line() -> Iterator[tuple[Line, SmallServer]]:
    served, memory = Line(), InMemoryServer()
    memory.serve("line", served, inputs={"x": ("float32", (-1,))}, outputs={"prediction": ("float32", (-1,))})
    with small_server(memory) as server:
        yield served, server


def parquet_shards(folder: Path) -> Path:
    """Two files, of two row groups and of three."""
    for number, part in enumerate((slice(0, 140), slice(140, ROWS))):
        table = pyarrow.table(
            {
                "images": [image.ravel().tolist() for image in IMAGES[part]],
                "label": LABELS[part],
                "region": REGIONS[part],
            }
        )
        pyarrow.parquet.write_table(table, folder / f"part-{number}.parquet", row_group_size=70)
    return folder


def csv_shards(folder: Path) -> Path:
    """A cell with a line end in it would break a file that was divided by lines."""
    with (folder / "all.csv").open("w", newline="", encoding="utf-8-sig") as handle:
        writer = csv.writer(handle)
        writer.writerow([*(f"p{index}" for index in range(784)), "label", "region"])
        writer.writerows(
            [*image.ravel().tolist(), label, "no\n\nrth" if region == "north" else region]
            for image, label, region in zip(IMAGES, LABELS, REGIONS, strict=True)
        )
    return folder / "all.csv"


def tfrecord_shards(folder: Path) -> Path:
    import tensorflow as tf

    for number, rows in enumerate((range(110), range(110, ROWS))):
        with tf.io.TFRecordWriter(str(folder / f"{number}.tfrecord")) as writer:
            for row in rows:
                values = {"images": IMAGES[row].ravel(), "label": LABELS[row : row + 1]}
                features = {
                    name: tf.train.Feature(int64_list=tf.train.Int64List(value=value))
                    for name, value in values.items()
                } | {"region": tf.train.Feature(bytes_list=tf.train.BytesList(value=[REGIONS[row].encode()]))}
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())
    return folder


def image_shards(folder: Path) -> Path:
    for row, (image, label) in enumerate(zip(IMAGES[:60], LABELS, strict=False)):
        path = folder / str(label) / f"{row}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


def measured(reports: Path, *arguments: object) -> Any:
    """The report of an evaluation that ends well, without what differs from run to run."""
    assert run(["evaluate", *map(str, arguments), "--reports", str(reports)]) == 0
    report = json.loads((reports / "evaluation.json").read_text())
    return {name: value for name, value in report.items() if name not in MEASURED}


def rounded(value: Any) -> Any:
    """Counts and texts as they are; floats may differ as those of TensorFlow do from one size of request to another."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return pytest.approx(value, rel=1e-4, abs=1e-6) if isinstance(value, float) else value


@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize("write", [parquet_shards, csv_shards, tfrecord_shards, image_shards])
def test_the_numbers_are_those_of_one_process(
    server: Any,
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path], Path],
) -> None:
    monkeypatch.setattr(parts, "ROWS", 64 * 16)
    if write is not image_shards:
        monkeypatch.setattr(parts, "ROWS", 64)
    (tmp_path / "data").mkdir()
    names = ",".join(map(str, range(10))) if write is image_shards else None
    asked = [write(tmp_path / "data"), "--target", server.grpc, "--models", tmp_path / "none"]
    asked += ["--slice", "confidence < 0.5", "--slice", "label"]
    asked += ["--class-names", names] if names else ["--slice", "region", "--slice", "row < 100"]
    plain = measured(tmp_path / "plain", *asked)
    by_ray = measured(tmp_path / "ray", *asked, "--engine", "ray")
    assert by_ray == rounded(plain)
    assert plain["dataset"]["examples"] == (60 if names else ROWS)
    assert not (tmp_path / "ray" / "evaluation-parts").exists()


def shards_of_a_line(folder: Path, groups: int, rows: int) -> Path:
    """Row groups of x, and of a label that is near 2x; no x is there twice."""
    folder.mkdir()
    x = np.arange(groups * rows, dtype=np.float32)
    label = 2 * x + np.sin(x)
    for number, half in enumerate(np.array_split(np.arange(len(x)), 2)):
        pyarrow.parquet.write_table(
            pyarrow.table({"x": x[half], "label": label[half]}),
            folder / f"{number}.parquet",
            row_group_size=rows,
        )
    return folder


def line_options(server: SmallServer, *more: object) -> list[object]:
    return ["--target", server.address, "--model", "line", "--task", "regression", "--models", "none", *more]


@pytest.mark.usefixtures("ray_here")
def test_a_killed_actor_loses_no_example_and_counts_none_twice(
    line: tuple[Line, SmallServer], tmp_path: Path
) -> None:
    served, server = line
    asked = [shards_of_a_line(tmp_path / "data", 12, 50), *line_options(server, "--slice", "error > 0")]
    plain = measured(tmp_path / "plain", *asked)
    served.asked.clear()
    served.first.clear()
    served.slow = 0.2
    killed: list[int] = []

    def kill() -> None:
        served.first.wait(60)
        killed.extend(ray_processes.actors(os.getpid())[:1])
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    by_ray = measured(tmp_path / "ray", *asked, "--engine", "ray")
    killer.join()
    assert len(killed) == 1
    assert by_ray == plain
    assert by_ray["dataset"]["examples"] == 600 == len(served.asked)


@pytest.mark.usefixtures("ray_here")
def test_a_killed_replica_loses_no_example(server: Any, models: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    data = parquet_shards(tmp_path / "data")
    plain = measured(tmp_path / "plain", data, "--target", server.grpc, "--models", models)
    with running_server(models) as doomed:
        plan = tmp_path / "ray" / "evaluation-parts" / "plan.json"
        port = int(doomed.grpc.rpartition(":")[2])

        def kill() -> None:
            deadline = time.monotonic() + 60
            while not plan.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            # It answers nobody from here on: what the actors ask it is under way when it dies.
            doomed.process.send_signal(signal.SIGSTOP)
            while time.monotonic() < deadline:
                if ray_processes.are_connected(ray_processes.actors(os.getpid()), port):
                    break
                time.sleep(0.05)
            doomed.process.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        by_ray = measured(
            tmp_path / "ray",
            *(data, "--target", f"{doomed.grpc},{server.grpc}", "--models", models, "--engine", "ray"),
        )
        killer.join()
    assert by_ray == rounded(plain | {"model": by_ray["model"]})


@pytest.mark.usefixtures("ray_here")
def test_a_stopped_run_leaves_no_process_and_the_next_asks_for_the_rest(
    line: tuple[Line, SmallServer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command's own local Ray: it listens on the loopback address alone, and Ctrl-C takes all of it away."""
    served, server = line
    data = shards_of_a_line(tmp_path / "data", 20, 10)
    reports = tmp_path / "reports"
    asked = [data, *line_options(server), "--engine", "ray", "--actors", 1]
    served.slow = 0.3
    with start("evaluate", *asked, "--reports", reports) as stopped:
        deadline = time.monotonic() + 200
        while len(list(reports.glob("evaluation-parts/*.part"))) < 3:
            assert stopped.poll() is None, stopped.communicate()[1]
            assert time.monotonic() < deadline, "no part was done"
            time.sleep(0.02)
        processes = ray_processes.descendants(stopped.pid)
        addresses = ray_processes.listened_on(processes)
        stopped.send_signal(signal.SIGINT)
        _, errors = stopped.communicate(timeout=60)
    assert stopped.returncode == 130, errors
    assert "The report is partial" in errors
    assert "Traceback" not in errors
    assert ray_processes.await_end(processes) == []
    assert addresses
    assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert not any("usage" in line.lower() and "UsageStatsHead" not in line for line in processes.values())
    partial = json.loads((reports / "evaluation.json").read_text())
    kept = partial["dataset"]["examples"]
    assert partial["partial"]
    assert kept == 10 * len(list(reports.glob("evaluation-parts/*.part")))

    served.asked.clear()
    served.slow = 0.0
    by_ray = measured(reports, *asked)
    assert f"{kept:,} examples" in capsys.readouterr().err
    assert len(served.asked) == 200 - kept
    assert set(served.asked.values()) == {1}
    assert by_ray == measured(tmp_path / "plain", data, *line_options(server))


@pytest.mark.usefixtures("ray_here")
def test_a_server_that_fails_leaves_a_partial_report(line: tuple[Line, SmallServer], tmp_path: Path) -> None:
    served, server = line
    reports = tmp_path / "reports"
    asked = [shards_of_a_line(tmp_path / "data", 10, 10), *line_options(server), "--engine", "ray"]
    served.fails_at = 85.0
    with pytest.raises(ServerFailure, match="it failed"):
        measured(reports, *asked, "--actors", 1)
    partial = json.loads((reports / "evaluation.json").read_text())
    assert partial["partial"]
    assert 0 < partial["dataset"]["examples"] <= 80
    served.fails_at = np.inf
    served.asked.clear()
    assert measured(reports, *asked)["dataset"]["examples"] == 100
    assert len(served.asked) == 100 - partial["dataset"]["examples"]


@pytest.mark.usefixtures("ray_here")
def test_a_cluster_is_found_by_its_address(line: tuple[Line, SmallServer], tmp_path: Path) -> None:
    import ray

    data = shards_of_a_line(tmp_path / "data", 4, 10)
    address = ray.get_runtime_context().gcs_address
    options = line_options(line[1], "--engine", "ray", "--ray-address", address, "--actors", 1)
    done = command("evaluate", data, *options, "--reports", tmp_path / "reports", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dataset"]["examples"] == 40
    # What the command is told to use it leaves as it is.
    assert any("raylet/raylet" in line for line in ray_processes.descendants(os.getpid()).values())


@pytest.mark.usefixtures("ray_here")
def test_what_another_run_has_left_is_not_counted(line: tuple[Line, SmallServer], tmp_path: Path) -> None:
    served, server = line
    data = shards_of_a_line(tmp_path / "data", 4, 10)
    served.slow = 0.0
    left = tmp_path / "ray" / "evaluation-parts"
    left.mkdir(parents=True)
    (left / "plan.json").write_text("{}")
    (left / "00000-000000.part").write_bytes(b"of other examples")
    assert measured(tmp_path / "ray", data, *line_options(server, "--engine", "ray")) == measured(
        tmp_path / "plain", data, *line_options(server)
    )
    assert not left.exists()


def test_without_the_extra_the_command_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,label\n1,2\n")
    environ = os.environ | without_packages(tmp_path / "blocked", "ray")
    done = command("evaluate", tmp_path / "a.csv", "--engine", "ray", env=environ)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'atelier-client[ray]'" in done.stderr


def test_importing_the_client_does_not_import_ray() -> None:
    import subprocess
    import sys

    code = "import sys, atelier_client, atelier_client.cli.main; print('ray' in sys.modules, 'pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (["--actors", "2"], InputError, "--actors is for --engine ray"),
        (["--ray-address", "127.0.0.1:1"], InputError, "--ray-address is for --engine ray"),
        (["--engine", "ray", "--actors", "0"], InputError, "expected 1 or more"),
        (["--engine", "ray", "--ray-address", "ray://head:1"], SettingsError, "expected HOST:PORT"),
        (
            ["--engine", "ray", "--ray-address", "127.0.0.1:{port}"],
            SettingsError,
            "No Ray cluster answers at",
        ),
    ],
)
def test_wrong_options_are_told(
    line: tuple[Line, SmallServer], tmp_path: Path, options: list[str], error: type[ClientError], said: str
) -> None:
    data = shards_of_a_line(tmp_path / "data", 2, 5)
    chosen = [option.format(port=free_port()) for option in options]
    with pytest.raises(error, match=said):
        measured(tmp_path / "ray", data, *line_options(line[1]), *chosen)


@pytest.mark.usefixtures("ray_here")
def test_wrong_data_is_told(line: tuple[Line, SmallServer], tmp_path: Path) -> None:
    ray = line_options(line[1], "--engine", "ray")
    data = shards_of_a_line(tmp_path / "data", 2, 5)
    with pytest.raises(SettingsError, match=r"--actors 3: each takes a CPU, and the Ray cluster has 2"):
        measured(tmp_path / "ray", data, *ray, "--actors", 3)
    np.savez(tmp_path / "a.npz", x=np.ones(3, np.float32), label=np.ones(3))
    with pytest.raises(DataError, match="is read as a whole"):
        measured(tmp_path / "ray", tmp_path / "a.npz", *ray)
    with pytest.raises(DataError, match="has no column 'no such column'"):
        measured(tmp_path / "ray", data, *ray, "--label-column", "no such column")
    table = pyarrow.table({"x": [1.0, 2.0], "label": [None, 1.0]})
    pyarrow.parquet.write_table(table, data / "2.parquet")
    with pytest.raises(DataError, match=r"2\.parquet, row 1, column label: the cell is empty"):
        measured(tmp_path / "ray", data, *ray)
    pyarrow.parquet.write_table(pyarrow.table({"x": [1.0], "y": [1.0]}), data / "2.parquet")
    with pytest.raises(DataError, match=r"2\.parquet has the columns x, y, and 0\.parquet has x, label"):
        measured(tmp_path / "ray", data, *ray)
