"""Several workers train one job: the numbers of one process, one version, and what happens when a worker dies."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_trainer.distributed.cluster import Cluster, cluster_of
from atelier_trainer.distributed.meeting import meet
from atelier_trainer.errors import JobError, TrainingFailed
from atelier_trainer.job import Job
from atelier_trainer.job_file import load_job

from tests.support.ports import free_port
from tests.support.trainer_command import trainer
from tests.support.workers import LIMIT, ended, places, train_together, workers

pytestmark = pytest.mark.timeout(900)
EPOCHS = 3
# 603 images and a validation split leave a last batch of 3; BatchNormalization and Dropout are where copies could part.
JOB = """
name: together
model: squares
data: {npz: squares.npz}
network: {convolutions: [4], hidden: [8], dropout: 0.2, l2: 0.001}
optimizer: {schedule: cosine, warmup: 0.2, learning_rate: 0.01}
fit: {batch_size: 60, epochs: %d, seed: 3, validation_split: 0.1, deterministic: true, flip: true}
"""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job on pictures whose bright corner is their class."""
    folder = tmp_path_factory.mktemp("job")
    rng = np.random.default_rng(5)
    arrays: dict[str, np.ndarray] = {}
    for split, size in (("train", 603), ("test", 90)):
        labels = rng.integers(0, 3, size)
        images = rng.integers(0, 60, [size, 8, 8], np.uint8)
        for row, label in enumerate(labels):
            images[row, :, label * 3 : label * 3 + 2] += 120
        arrays |= {f"x_{split}": images, f"y_{split}": labels}
    np.savez(folder / "squares.npz", **arrays)  # type: ignore[arg-type]
    path = folder / "together.yaml"
    path.write_text(JOB % EPOCHS)
    return path


@pytest.fixture(scope="module")
def undisturbed(job: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two workers, from start to end."""
    folder = tmp_path_factory.mktemp("two")
    chief, other = train_together(2, job, *places(folder))
    assert chief.code == other.code == 0, chief.stderr + other.stderr
    assert json.loads(chief.stdout.splitlines()[-1])["version"] == 1
    assert json.loads(other.stdout.splitlines()[-1]) == {"model": "squares", "worker": 1, "trained": True}
    return folder


def history(folder: Path) -> list[dict[str, Any]]:
    """One row an epoch, without the time it took."""
    rows = json.loads((folder / "runs" / "together" / "1" / "history.json").read_text())
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def answers(folder: Path) -> dict[str, np.ndarray]:
    """What the published model gave for its golden examples."""
    with np.load(
        folder / "models" / "squares" / "1" / "assets.extra" / "golden.npz", allow_pickle=True
    ) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_two_workers_publish_one_version_with_the_history_of_a_training(undisturbed: Path) -> None:
    rows = history(undisturbed)
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    names = {
        "accuracy",
        "crossentropy",
        "loss",
        "val_accuracy",
        "val_crossentropy",
        "val_loss",
        "learning_rate",
        "epoch",
    }
    assert set(rows[0]) == names
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert [path.name for path in (undisturbed / "models" / "squares").iterdir() if path.is_dir()] == ["1"]
    run = json.loads((undisturbed / "runs" / "together" / "1" / "run.json").read_text())
    assert (run["state"], run["workers"], run["replicas"]) == ("published", 2, 2)
    assert list((undisturbed / "runs" / "together" / "1" / "tensorboard").rglob("events.*"))


def test_three_workers_without_random_layers_train_as_one_process(tmp_path: Path, job: Path) -> None:
    """A dense network: every number of the history, with batches of 60 and a last one of 2 between three workers."""
    settings: tuple[str, ...] = (
        "--set",
        "network.convolutions=[]",
        "--set",
        "network.dropout=0",
        "--set",
        "fit.class_weight=balanced",
        "--set",
        "fit.flip=false",
    )
    settings += ("--set", "fit.batch_size=59", "--set", "fit.epochs=2")
    results = train_together(3, job, *settings, *places(tmp_path / "three"))
    assert [result.code for result in results] == [0, 0, 0], results
    alone = trainer("train", job, *settings, *places(tmp_path / "one"))
    assert alone.returncode == 0, alone.stderr
    for theirs, ours in zip(history(tmp_path / "one"), history(tmp_path / "three"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4), theirs["epoch"]


def test_a_worker_killed_in_an_epoch_stops_the_others_and_all_go_on_to_the_same_weights(
    job: Path, tmp_path: Path, undisturbed: Path
) -> None:
    with workers(2, job, *places(tmp_path)) as (chief, other):
        kept = tmp_path / "runs" / "together" / "1" / "history.json"
        end = time.monotonic() + LIMIT
        while not kept.exists() and time.monotonic() < end:
            assert chief.poll() is None, chief.communicate()
            time.sleep(0.02)
        other.kill()
        left, _ = ended([chief, other])
    assert left.code == 1
    assert re.search(r"worker 1 \(127\.0\.0\.1:\d+\) has left", left.stderr), left.stderr
    assert "Start all workers again" in left.stderr
    assert "Traceback" not in left.stderr
    assert not list((tmp_path / "models" / "squares").glob("[0-9]*"))
    again = train_together(2, job, *places(tmp_path))
    assert [result.code for result in again] == [0, 0], again
    assert "goes on after epoch" in again[0].stderr
    assert history(tmp_path) == history(undisturbed)
    expected = answers(undisturbed)
    assert {name: value.tolist() for name, value in answers(tmp_path).items()} == {
        name: value.tolist() for name, value in expected.items()
    }


def test_workers_of_a_job_that_is_published_end_at_once(job: Path, undisturbed: Path) -> None:
    chief, other = train_together(2, job, "--if-needed", *places(undisturbed))
    assert chief.code == other.code == 0, chief.stderr + other.stderr
    assert "is up to date" in chief.stderr
    assert "nothing to train" in other.stderr
    assert not json.loads(other.stdout.splitlines()[-1])["trained"]


def test_workers_with_different_settings_train_nothing(job: Path, tmp_path: Path) -> None:
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    started = []
    for index, seed in enumerate((1, 2)):
        task = {"type": "worker", "index": index}
        with_config = ["env", f"TF_CONFIG={json.dumps({'cluster': {'worker': addresses}, 'task': task})}"]
        command = [
            str(Path(sys.executable).parent / "atelier-trainer"),
            "train",
            str(job),
            "--seed",
            str(seed),
        ]
        command += ["--set", "fit.strategy=multi_worker", *map(str, places(tmp_path))]
        started.append(
            subprocess.Popen(
                [*with_config, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    for result in ended(started):
        assert result.code == 2, result.stderr
        assert "The workers differ" in result.stderr
        assert "Traceback" not in result.stderr
    assert not (tmp_path / "models" / "squares" / "1").exists()


def test_a_chief_that_waits_ends_at_an_interrupt(job: Path, tmp_path: Path) -> None:
    with workers(2, job, *places(tmp_path), only=(0,)) as (chief,):
        assert chief.stderr is not None
        for line in chief.stderr:
            if "waiting for worker 1" in line:
                break
        chief.send_signal(signal.SIGINT)
        [result] = ended([chief])
    assert result.code == 130, result.stderr
    assert "Traceback" not in result.stderr


def test_devices_of_one_machine_share_the_work(job: Path, tmp_path: Path) -> None:
    """Two logical CPUs stand for two GPUs."""
    code = (
        "import sys, tensorflow as tf; from atelier_trainer.cli.app import main; "
        "halves = [tf.config.LogicalDeviceConfiguration()] * 2; "
        "tf.config.set_logical_device_configuration(tf.config.list_physical_devices('CPU')[0], halves); main()"
    )
    settings = ("train", job, "--set", "fit.strategy=mirrored", "--set", "fit.epochs=2", *places(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, settings)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "training on 2 devices: CPU" in done.stderr
    rows = history(tmp_path)
    assert len(rows) == 2
    assert rows[1]["loss"] < rows[0]["loss"]
    assert json.loads((tmp_path / "runs" / "together" / "1" / "run.json").read_text())["replicas"] == 2


def test_a_worker_that_does_not_come_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atelier_trainer.interrupt._received", False)
    addresses = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    with pytest.raises(TrainingFailed, match=rf"worker 1 \({addresses[1]}\): not there after 1 s"):
        meet(Cluster(addresses, 0), limit=1)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "no object"),
        ('{"cluster": {}}', "KeyError: 'task'"),
        ('{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}', "other tasks"),
        ('{"cluster": {"worker": []}, "task": {"type": "worker", "index": 0}}', "lists of addresses"),
        ('{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}', "'a' is no address"),
        ('{"cluster": {"worker": ["a:99999"]}, "task": {"type": "worker", "index": 0}}', "no address"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}', "twice"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "there is no worker 1"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "0"}}', "its task is"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}', "there is no chief 0"),
        ('{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}', "lists of addresses"),
    ],
)
def test_a_tf_config_of_another_form_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, config: str, said: str
) -> None:
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(JobError, match=r"TF_CONFIG cannot be used.*Expected") as raised:
        cluster_of(load_job("fashion-dense"))
    assert said in str(raised.value)


def test_a_chief_beside_workers_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    cluster = cluster_of(together("multi_worker"))
    assert cluster == Cluster(("a:1", "b:1"), 1)
    assert not cluster.is_chief


def test_workers_beside_a_job_of_one_process_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(JobError, match="each worker would publish a version of its own"):
        cluster_of(together("single"))


def together(strategy: str) -> Job:
    """A job with that strategy."""
    fit = {"batch_size": 1, "epochs": 1, "strategy": strategy}
    document = {"name": "a", "model": "a", "data": "imdb", "network": {}, "fit": fit}
    return Job.from_document(document, Path())
