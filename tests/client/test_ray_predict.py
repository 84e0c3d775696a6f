"""Predictions by Ray's actors, as Parquet: the rows that `predict` prints, each once, whatever is stopped."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from atelier_client.cli.main import run
from atelier_client.distributed.cluster import connected
from atelier_client.distributed.prediction_table import PredictionTable
from atelier_client.errors import ClientError, DataError, InputError
from atelier_client.responses import Prediction
from atelier_client.testing import InMemoryServer
from PIL import Image

from tests.support import ray_processes
from tests.support.small_server import small_server

# Ray's own use of what it has deprecated (ray/data/context.py).
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")

IMAGES = np.random.default_rng(0).integers(0, 256, [50, 28, 28], np.uint8)


@pytest.fixture(scope="module", autouse=True)
def ray_here() -> Iterator[None]:
    """One Ray with room for two actors, to which the commands that run in this process are connected."""
    with connected(None, 2):
        yield


def images(folder: Path) -> Path:
    folder.mkdir()
    table = pyarrow.table({"images": [image.ravel().tolist() for image in IMAGES]})
    pyarrow.parquet.write_table(table, folder / "0.parquet", row_group_size=20)
    pyarrow.parquet.write_table(table.slice(7, 11), folder / "1.parquet")
    return folder


def written(folder: Path) -> list[dict[str, Any]]:
    """The rows of all files, as any reader of Parquet finds them."""
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(folder).to_pylist()
    return sorted(rows, key=lambda row: row["row"])


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """What a command prints that ends well."""
    capsys.readouterr()
    assert run(["predict", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_rows_are_those_that_predict_prints(
    server: Any, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--target", server.grpc, "--models", models]
    data = images(tmp_path / "data")
    plain = printed(capsys, data, *asked)["predictions"]
    done = printed(capsys, data, tmp_path / "out", "--engine", "ray", *asked)
    assert done == {"version": 1, "folder": str(tmp_path / "out"), "rows": 61, "files": 4}
    rows = written(tmp_path / "out")
    assert [row["row"] for row in rows] == list(range(61)) == [row["row"] for row in plain]
    for row, wanted in zip(rows, plain, strict=True):
        assert row["label"] == wanted["label"]
        assert row["class_id"] == wanted["outputs"]["class_id"]
        # Floats of TensorFlow differ in the last digits from one size of request to another.
        assert row["probabilities"] == pytest.approx(wanted["outputs"]["probabilities"], abs=1e-6)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "_plan.json",
        *(f"part-{key}.parquet" for key in ("00000-000000", "00000-000001", "00000-000002", "00001-000000")),
    }
    # Another time nothing is left to be asked, and other examples have another folder.
    assert printed(capsys, data, tmp_path / "out", "--engine", "ray", *asked) == done
    with pytest.raises(
        InputError, match="has predictions of other examples, another version or other settings"
    ):
        printed(capsys, data / "0.parquet", tmp_path / "out", "--engine", "ray", *asked)
    assert written(tmp_path / "out") == rows


def test_a_killed_actor_and_a_stopped_run_ask_only_for_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[float] = []
    wait, seen = threading.Event(), threading.Event()

    def line(inputs: Any) -> Any:
        rows = inputs["x"].reshape(-1)
        # The parts from 60 on are waited for.
        if rows[0] >= 60:
            seen.set()
            wait.wait(60)
        asked.extend(rows.tolist())
        return {"y": rows * 2}

    memory = InMemoryServer()
    memory.serve("line", line, inputs={"x": ("float32", (-1,))}, outputs={"y": ("float32", (-1,))})
    table = pyarrow.table({"x": np.arange(100, dtype=np.float32)})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet", row_group_size=10)
    out = tmp_path / "out"

    def stop_and_kill() -> None:
        seen.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    with small_server(memory) as server:
        options = ["--target", server.address, "--model", "line", "--models", "none", "--engine", "ray"]
        stopper = threading.Thread(target=stop_and_kill)
        stopper.start()
        with pytest.raises(KeyboardInterrupt):
            printed(capsys, tmp_path / "x.parquet", out, *options)
        stopper.join()
        wait.set()
        there = {row["row"] for row in written(out)}
        assert len(there) >= 40
        asked.clear()
        seen.clear()
        wait.clear()

        def kill() -> None:
            seen.wait(60)
            os.kill(ray_processes.actors(os.getpid())[0], signal.SIGKILL)
            wait.set()

        killer = threading.Thread(target=kill)
        killer.start()
        assert printed(capsys, tmp_path / "x.parquet", out, *options)["rows"] == 100
        killer.join()
    # What was under way when the first run was stopped may have been written meanwhile.
    assert asked
    assert there.isdisjoint(asked)
    rows = written(out)
    assert [(row["row"], row["y"]) for row in rows] == [(row, row * 2.0) for row in range(100)]
    assert len(list(out.iterdir())) == 11


def test_outputs_of_every_shape_are_columns() -> None:
    table = PredictionTable(("a", "b", "c", "d"), ("no", "yes"), "p")
    cube = np.arange(12, dtype=np.int64).reshape(2, 3, 2)
    prediction = Prediction(
        p=np.array([[0.75], [0.25]], np.float32),
        cube=cube,
        text=np.array([b"x", "ü".encode()], object),
        constant=np.array([1.5, 2.5, 3.5], np.float32),
    )
    rows = table.of(prediction, 7, {"x": np.zeros(2)}).to_pylist()
    assert [row["row"] for row in rows] == [7, 8]
    assert [row["label"] for row in rows] == ["yes", "no"]
    assert [row["cube"] for row in rows] == cube.tolist()
    assert [row["text"] for row in rows] == ["x", "ü"]
    assert [row["constant"] for row in rows] == [[1.5, 2.5, 3.5]] * 2


def test_images_have_the_names_of_their_files(
    server: Any, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        path = tmp_path / "photos" / "any" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[number]).save(path)
    options = ["--target", server.grpc, "--models", models, "--engine", "ray"]
    printed(capsys, tmp_path / "photos", tmp_path / "out", *options)
    assert [row["file"] for row in written(tmp_path / "out")] == ["any/0.png", "any/1.png", "any/2.png"]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["{data}"], InputError, "takes the examples and the folder for their predictions"),
        (
            ["{data}", "{out}", "--rows", "0:5"],
            InputError,
            "--text, --rows and --top are for predict without",
        ),
        (["{full}/a.txt", "{out}"], DataError, "texts and JSON lines are for predict without --engine ray"),
        (["{data}", "{full}"], InputError, "is not empty: expected a new or an empty folder"),
        (["{data}", "{full}/a.txt"], InputError, "is no folder"),
        (["{full}/nothing.csv", "{out}"], DataError, "does not exist"),
        (["{full}/b.csv", "{out}"], DataError, "does not fit the input"),
    ],
)
def test_wrong_arguments_are_told(
    server: Any, models: Path, tmp_path: Path, arguments: list[str], error: type[ClientError], said: str
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "a.txt").write_text("mine")
    (full / "b.csv").write_text("x,y\n1,2\n")
    places = {"data": images(tmp_path / "data"), "out": tmp_path / "out", "full": full}
    given = [argument.format(**places) for argument in arguments]
    with pytest.raises(error, match=said):
        run(["predict", *given, "--engine", "ray", "--target", server.grpc, "--models", str(models)])
    assert not (tmp_path / "out").exists()
    assert (full / "a.txt").read_text() == "mine"
