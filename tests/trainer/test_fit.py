"""Fitting: reproducible, resumable after kill -9 at any moment, and as the job says."""

import csv
import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_trainer.data import job_data
from atelier_trainer.errors import TrainingFailed
from atelier_trainer.job import Job

from tests.support.trainer_command import COMMAND, trainer

JOB = """
name: mine
model: mine
data: {csv: data.csv}
network: {hidden: [16], dropout: 0.3}
optimizer: {learning_rate: 0.01, schedule: cosine, warmup: 0.1}
fit: {batch_size: 32, epochs: 30, seed: 3, deterministic: true, validation_split: 0.2, early_stopping: {patience: 30}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job on a small table of two noisy classes, with dropout, a schedule and early stopping."""
    path = tmp_path_factory.mktemp("job")
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 400)
    rows = random.normal(labels[:, None], 1.5, [400, 4])
    lines = [
        ",".join(f"{value:.4f}" for value in row) + f",{label}\n"
        for row, label in zip(rows, labels, strict=True)
    ]
    (path / "data.csv").write_text("a,b,c,d,label\n" + "".join(lines))
    (path / "job.yaml").write_text(JOB)
    return path


def places(tmp_path: Path) -> list[object]:
    return ["--models", tmp_path / "models", "--data", tmp_path / "data", "--runs", tmp_path / "runs"]


def weights(run: Path) -> dict[str, np.ndarray]:
    """Every variable of a run's last and best checkpoints."""
    import tensorflow as tf

    arrays: dict[str, np.ndarray] = {}
    for part in ("checkpoints", "best"):
        reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(run / part)))
        arrays |= {
            f"{part}/{name}": reader.get_tensor(name)
            for name in reader.get_variable_to_shape_map()
            if name.startswith(("variables", "epochs"))
        }
    return arrays


def history(run: Path) -> list[dict[str, Any]]:
    """The history without what differs from run to run."""
    rows = json.loads((run / "history.json").read_text())
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def reference(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of one undisturbed training."""
    path = tmp_path_factory.mktemp("reference")
    done = trainer("train", folder / "job.yaml", *places(path))
    assert done.returncode == 0, done.stderr
    return path / "runs/mine/1"


def assert_same(run: Path, reference: Path) -> None:
    assert history(run) == history(reference)
    ours, theirs = weights(run), weights(reference)
    assert ours.keys() == theirs.keys()
    assert len(ours) > 10
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


def test_two_deterministic_runs_are_equal_to_the_bit(folder: Path, reference: Path, tmp_path: Path) -> None:
    done = trainer("train", folder / "job.yaml", *places(tmp_path))
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "runs/mine/1", reference)


def test_after_kill_9_at_any_moment_the_same_command_ends_as_one_never_interrupted(
    folder: Path, reference: Path, tmp_path: Path
) -> None:
    """Killed in four places: before the first epoch's end, twice between, and with history and checkpoint apart."""
    run = tmp_path / "runs/mine/1"
    command = [COMMAND, "train", str(folder / "job.yaml"), *map(str, places(tmp_path))]
    for epochs in (0, 5, 12):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 90
            while time.monotonic() < deadline and process.poll() is None:
                if (run / "run.json").exists() and len(read_rows(run)) >= epochs:
                    break
                time.sleep(0.002)
            assert process.poll() is None
            os.kill(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "models/mine/1").exists()
    done_before = len(read_rows(run))
    assert 12 <= done_before < 30
    # As if the kill had come between the history's row and the checkpoint.
    rows = json.loads((run / "history.json").read_text())
    (run / "history.json").write_text(json.dumps([*rows, {**rows[-1], "epoch": done_before + 1}]))
    done = trainer("train", folder / "job.yaml", *places(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "goes on after epoch" in done.stderr
    assert [path.name for path in (tmp_path / "runs/mine").iterdir()] == ["1"]
    assert_same(run, reference)
    assert json.loads((run / "run.json").read_text())["state"] == "published"


def read_rows(run: Path) -> list[dict[str, Any]]:
    try:
        return json.loads((run / "history.json").read_text())
    except FileNotFoundError:
        return []


def test_a_run_killed_after_its_last_epoch_is_published_without_training(
    folder: Path, reference: Path, tmp_path: Path
) -> None:
    import shutil

    run = tmp_path / "runs/mine/1"
    shutil.copytree(reference, run)
    document = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(document | {"state": "fitted"}))
    done = trainer("train", folder / "job.yaml", *places(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "epoch " not in done.stderr
    assert json.loads(done.stdout)["version"] == 1
    # With early stopping what is published is the best epoch's model, not the last one's.
    assert json.loads((run / "run.json").read_text())["best_epoch"] == best_epoch(reference) < 30


def best_epoch(run: Path) -> int:
    return min(history(run), key=lambda row: row["val_loss"])["epoch"]


def test_history_files_event_files_and_picture_tell_the_same(reference: Path) -> None:
    rows = json.loads((reference / "history.json").read_text())
    assert [row["epoch"] for row in rows] == list(range(1, 31))
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"} < set(rows[0])
    with open(reference / "history.csv", newline="") as handle:
        table = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(handle)]
    assert table == rows
    assert (reference / "history.png").read_bytes().startswith(b"\x89PNG")
    for split, name in (("train", "loss"), ("validation", "val_loss")):
        np.testing.assert_allclose(
            events(reference / "tensorboard" / split), [row[name] for row in rows], rtol=1e-6
        )


def events(folder: Path) -> list[float]:
    """The epoch_loss scalars of a folder's event files, in the order of their steps."""
    import tensorflow as tf
    from tensorflow.core.util.event_pb2 import Event

    steps = {}
    for path in folder.iterdir():
        for record in tf.data.TFRecordDataset(str(path)):
            event = Event.FromString(record.numpy())
            for value in event.summary.value:
                if value.tag == "epoch_loss":
                    steps[event.step] = float(tf.make_ndarray(value.tensor))
    return [steps[step] for step in sorted(steps)]


def test_the_schedule_rises_and_falls_to_zero(reference: Path) -> None:
    rates = [row["learning_rate"] for row in history(reference)]
    assert max(rates) == pytest.approx(0.01, rel=0.05)
    assert rates[0] < rates[2]
    assert rates[-1] < 1e-5


def test_a_terminal_gets_a_bar(folder: Path, tmp_path: Path) -> None:
    """Through a real pseudo-terminal: the bar is drawn there, and only there."""
    leader, follower = pty.openpty()
    command = [
        COMMAND,
        "train",
        str(folder / "job.yaml"),
        "--set",
        "fit.epochs=2",
        *map(str, places(tmp_path)),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=follower) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                block = os.read(leader, 65536)
            except OSError:
                break
            if not block:
                break
            shown += block
        os.close(leader)
    assert process.returncode == 0, shown.decode(errors="replace")
    assert "━".encode() in shown
    assert b"epoch  2/2" in shown


def fitted(tmp_path: Path, folder: Path, **fit: Any) -> tuple[Callable[[], list[dict[str, Any]]], Any]:
    """Fit a variant of the job in this process; return the run's history and the fitted model."""
    from atelier_trainer.training.fit import fit as run_fit
    from atelier_trainer.training.run import continued_or_new

    document = {
        "name": "mine",
        "model": "mine",
        "data": {"csv": "data.csv"},
        "network": {"hidden": [8]},
        "optimizer": fit.pop("optimizer", {"learning_rate": 0.05}),
        "fit": {"batch_size": 32, "epochs": 3, "validation_split": 0.25, **fit},
    }
    job = Job.from_document(document, folder)
    data = job_data.load(job, tmp_path / "data")
    with continued_or_new(tmp_path / "runs", job, "source", done=("fitted",)) as run:
        return run.history, run_fit(job, data, run)


def test_early_stopping_stops_and_keeps_the_best(tmp_path: Path, folder: Path) -> None:
    rows, result = fitted(
        tmp_path, folder, epochs=60, early_stopping={"patience": 2}, optimizer={"learning_rate": 0.2}
    )
    losses = [row["val_loss"] for row in rows()]
    assert len(losses) == result.best_epoch + 2 < 60
    assert result.best_epoch == int(np.argmin(losses)) + 1


@pytest.mark.parametrize(
    "name", ["adamw", "nadam", "adamax", "adagrad", "adadelta", "rmsprop", "sgd", "ftrl", "lion"]
)
def test_every_optimizer_trains(tmp_path: Path, folder: Path, name: str) -> None:
    momentum = {"momentum": 0.9} if name in ("sgd", "rmsprop") else {}
    settings = {"name": name, "learning_rate": 0.01, "weight_decay": 0.001, **momentum}
    rows, result = fitted(tmp_path, folder, epochs=1, optimizer=settings)
    assert type(result.model.optimizer).__name__.lower() == name
    assert np.isfinite(rows()[0]["loss"])


def test_a_training_that_diverges_is_not_published(tmp_path: Path, folder: Path) -> None:
    # Each step multiplies the weights by -9.
    optimizer = {"name": "sgd", "learning_rate": 10.0, "weight_decay": 1.0}
    with pytest.raises(TrainingFailed, match=r"Epoch \d+: the loss is (nan|inf)"):
        fitted(tmp_path, folder, epochs=20, optimizer=optimizer)


@pytest.mark.parametrize("schedule", ["linear", "exponential", "inverse_time"])
def test_every_schedule_ends_where_it_says(tmp_path: Path, folder: Path, schedule: str) -> None:
    rows, _ = fitted(tmp_path, folder, epochs=2, optimizer={"learning_rate": 0.01, "schedule": schedule})
    last = rows()[-1]["learning_rate"]
    assert last == pytest.approx(0.0 if schedule == "linear" else 0.001, abs=1e-6)


def test_class_weights_move_the_answers(tmp_path: Path, folder: Path) -> None:
    _, plain = fitted(tmp_path / "a", folder)
    _, weighted = fitted(tmp_path / "b", folder, class_weight={"1": 20.0})
    inputs = np.random.default_rng(0).normal(0.5, 1, [200, 4]).astype(np.float32)
    assert (
        weighted.model.predict(inputs, verbose=0).mean() > plain.model.predict(inputs, verbose=0).mean() + 0.2
    )


def test_balanced_weights_give_each_class_the_same_sum() -> None:
    from atelier_trainer.data.dataset import DataSet, Examples
    from atelier_trainer.errors import JobError
    from atelier_trainer.job import Fit
    from atelier_trainer.training.fit import class_weights

    examples = Examples(np.zeros([8, 1], np.float32), np.array([0, 0, 0, 0, 0, 0, 1, 1]), "")
    data = DataSet("d", "table", ("a", "b"), (1,), examples, examples, {})
    weights = class_weights(Fit(batch_size=1, epochs=1, class_weight="balanced"), data)
    assert weights is not None
    assert weights[0] * 6 == pytest.approx(weights[1] * 2) == 4
    assert class_weights(Fit(batch_size=1, epochs=1, class_weight={"b": 3}), data) == {0: 1.0, 1: 3}
    with pytest.raises(JobError, match="there is no class 'c'; the classes are a, b"):
        class_weights(Fit(batch_size=1, epochs=1, class_weight={"c": 3}), data)
    with pytest.raises(JobError, match=r"a class of weight 0 is not learned, which leaves b; expected two"):
        class_weights(Fit(batch_size=1, epochs=1, class_weight={"a": 0}), data)


def test_half_precision_trains_and_answers_in_float32(tmp_path: Path, folder: Path) -> None:
    import keras

    try:
        _, result = fitted(tmp_path, folder, precision="mixed_bfloat16")
        answer = result.model.predict(np.zeros([2, 4], np.float32), verbose=0)
        assert answer.dtype == np.float32
        assert result.model.layers[2].compute_dtype == "bfloat16"
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
