"""`atelier-client log`: a request log as a table in three formats."""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from pyarrow import parquet
from tensorflow_serving.apis import prediction_log_pb2

from tests.client.test_request_log import details, named, predict, write
from tests.support.client_command import command


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three requests of two models, five rows."""
    folder = tmp_path / "log"
    write(
        folder,
        named(0, 1),
        predict(np.array([[1.5, np.nan], [3.0, 4.0]], np.float32), 0, label="canary"),
        predict(
            np.array([[5.0, 6.0], [7.0, 8.0]], np.float32), 2, trace_id="0af7651916cd43dd8448eb211c80319c"
        ),
    )
    write(folder, named(1, 1, "other"), predict(np.array([9], np.int64), 1, model="other"))
    return folder


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return command("log", *arguments, env={**os.environ, "ATELIER_MODEL": ""})


def test_csv_has_a_row_for_each_example(log: Path, tmp_path: Path) -> None:
    done = run(log, "--to", tmp_path / "out.csv", "--model", "toy", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["requests"], document["rows"], document["skipped"]) == (2, 4, 0)
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == document["columns"]
    assert document["columns"][:7] == ["time", "model", "version", "label", "trace_id", "ms", "transport"]
    assert document["columns"][7:] == ["input.x", "output.y"]
    assert rows[0]["time"] == "2026-11-30T16:00:00.000000Z"
    assert (rows[0]["label"], rows[0]["trace_id"], rows[0]["ms"]) == ("canary", "", "250.0")
    assert [json.loads(row["input.x"]) for row in rows] == [[1.5, None], [3, 4], [5, 6], [7, 8]]
    assert [json.loads(row["output.y"]) for row in rows] == [[3, None], [6, 8], [10, 12], [14, 16]]


def test_json_lines_have_the_same(log: Path, tmp_path: Path) -> None:
    assert run(log, "--to", tmp_path / "out.jsonl").returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["model"] for row in rows] == ["toy", "toy", "other", "toy", "toy"]
    assert rows[0]["input.x"] == [1.5, None]
    assert rows[2]["input.x"] == 9
    assert rows[3]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


def test_parquet_has_types(log: Path, tmp_path: Path) -> None:
    done = run(log, "--to", tmp_path / "out.parquet", "--model", "toy")
    assert done.returncode == 0, done.stderr
    table = parquet.read_table(tmp_path / "out.parquet")
    assert str(table.schema.field("time").type) == "timestamp[us, tz=UTC]"
    assert str(table.schema.field("input.x").type).startswith("list<")
    assert table.column("input.x").to_pylist()[1:] == [[3, 4], [5, 6], [7, 8]]
    assert table.column("label").to_pylist() == ["canary", "canary", None, None]
    # One column of a vector and of numbers has no type of its own: it is JSON.
    assert run(log, "--to", tmp_path / "all.parquet").returncode == 0
    mixed = parquet.read_table(tmp_path / "all.parquet").column("input.x").to_pylist()
    assert [json.loads(cell) for cell in mixed[1:]] == [[3, 4], 9, [5, 6], [7, 8]]


def test_texts_are_texts_and_other_bytes_are_base64(tmp_path: Path) -> None:
    texts = np.array([b"caf\xc3\xa9", b"a,b"], object)
    raw = np.array([b"\xff\xd8", b"ok"], object)
    for name, values in (("text", texts), ("raw", raw)):
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto(values, tf.string))
        write(tmp_path / name, named(0, 1), log.SerializeToString() + details(0))
    assert run(tmp_path / "text", "--to", tmp_path / "text.csv").returncode == 0
    with (tmp_path / "text.csv").open(newline="") as file:
        assert [row["input.x"] for row in csv.DictReader(file)] == ["café", "a,b"]
    for name, expected in (("text", ["café", "a,b"]), ("raw", [b"\xff\xd8", b"ok"])):
        assert run(tmp_path / name, "--to", tmp_path / f"{name}.parquet").returncode == 0
        assert parquet.read_table(tmp_path / f"{name}.parquet").column("input.x").to_pylist() == expected
    assert run(tmp_path / "raw", "--to", tmp_path / "raw.jsonl").returncode == 0
    lines = (tmp_path / "raw.jsonl").read_text().splitlines()
    assert [json.loads(line)["input.x"] for line in lines] == ["/9g=", "ok"]


def test_what_is_left_out_is_named_and_the_rest_is_written(log: Path, tmp_path: Path) -> None:
    torn = next(log.glob("toy-*"))
    torn.write_bytes(torn.read_bytes()[:-9])
    write(log, named(5, 1), b"\xff\xff", predict([[1.0]], 5), predict([[1.0]], -3600))
    done = run(log, "--to", tmp_path / "out.jsonl", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["skipped"] == 2
    assert json.loads(done.stdout)["clocks_set_back"] == 1
    assert f"{torn}, record 2: the file ends within it" in done.stderr
    assert "record 1: left out: it is no PredictionLog" in done.stderr
    assert "the clock was set back" in done.stderr
    assert "Left out: 2 records." in done.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("folder", "to", "text"),
    [
        ("none", "out.csv", "none: expected the folder of a request log"),
        ("log", "out.xlsx", "expected a name that ends in .parquet, .csv, .jsonl"),
        ("log", "none/out.csv", "which is no folder"),
        ("empty", "out.csv", "empty has no requests that can be read"),
    ],
)
def test_a_command_that_cannot_work_says_why_in_a_sentence(
    log: Path, tmp_path: Path, folder: str, to: str, text: str
) -> None:
    (tmp_path / "empty").mkdir()
    done = run(tmp_path / folder, "--to", tmp_path / to)
    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*out*"))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_disk_that_is_full_is_named_with_a_remedy(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, named(0, 1), *(predict(np.random.default_rng(1).random([50, 50])) for _ in range(20)))
    done = command(
        "log", tmp_path, "--to", tmp_path / f"out{suffix}", "--model", "toy",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)),
    )  # fmt: skip
    assert done.returncode == 1
    assert f"error: {tmp_path / 'out'}{suffix}: File too large. Make room there" in done.stderr
    assert "Exception ignored" not in done.stderr
    assert len(list(tmp_path.iterdir())) == 1


def test_one_of_a_thing_is_said_as_one(tmp_path: Path) -> None:
    write(tmp_path, named(0, 1), predict(np.array([1], np.int64)), b"\xff")
    done = run(tmp_path, "--to", tmp_path / "out.csv")
    assert "Left out: 1 record. " in done.stderr
    assert "1 row of 1 request, 9 columns." in done.stderr


def test_another_model_s_name_is_said(log: Path, tmp_path: Path) -> None:
    done = run(log, "--to", tmp_path / "out.csv", "--model", "shoes")
    assert done.returncode == 2
    assert "has no requests of model shoes" in done.stderr


def test_a_large_log_takes_a_bounded_memory(tmp_path: Path) -> None:
    """200 requests of 1.6 MB each, 320 MB together."""
    folder = tmp_path / "log"
    pixels = np.random.default_rng(7).random([64, 3136], np.float32)
    record = predict(pixels)
    for number in range(4):
        write(folder, named(number * 20, 1), *([record] * 50))
    script = (
        "import os, re, sys; os.environ['ATELIER_MODEL'] = ''; from atelier_client.cli.main import run;"
        f"code = run(['log', {str(folder)!r}, '--to', {str(tmp_path / 'out.parquet')!r}]);"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=250
    )
    assert done.returncode == 0, done.stderr
    assert "12,800 rows of 200 requests" in done.stderr
    # Python, NumPy and pyarrow take 130 MB of it.
    assert int(done.stdout) * 1024 < 400 * 2**20
