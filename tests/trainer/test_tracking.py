"""Runs and labels in MLflow: a real server, a database, servers that hang or end in the middle, and none at all."""

import json
import os
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from atelier_trainer.errors import TrackingFailed, TrackingRefused
from atelier_trainer.tracking.address import resolved, shown
from atelier_trainer.tracking.tracker import Mlflow, NoTracker, tracker_for
from atelier_trainer.training.run import Run

from tests.support.mlflow_server import mlflow_server
from tests.support.stalled_link import stalled_link
from tests.support.trainer_command import trainer
from tests.support.without_packages import without_packages

# Seconds. A sending process imports MLflow first, which takes long on a machine that is busy.
PATIENCE = 240.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


@pytest.fixture
def mine(trained: Path, tmp_path: Path) -> Path:
    """A copy of a trained folder: tracking locks the run, and releases change models.config."""
    return shutil.copytree(trained, tmp_path / "mine")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def ask(client: Any, mlflow_run: str) -> dict[str, Any]:
    """All that the tracker has of a run."""
    run = client.get_run(mlflow_run)
    names = list(run.data.metrics)
    return {
        "status": run.info.status,
        "name": run.info.run_name,
        "parameters": run.data.params,
        "tags": run.data.tags,
        "metrics": {
            name: [(point.step, point.value) for point in client.get_metric_history(mlflow_run, name)]
            for name in names
        },
        "artefacts": sorted(
            [item.path for item in client.list_artifacts(mlflow_run)]
            + [item.path for item in client.list_artifacts(mlflow_run, "model")]
        ),
        "inputs": {
            item.tags[0].value: (item.dataset.name, json.loads(item.dataset.profile))
            for item in run.inputs.dataset_inputs
        },
    }


def test_a_run_is_there_once_and_whole_however_often_it_is_sent(server: str, mine: Path) -> None:
    from mlflow import MlflowClient

    tracker = Mlflow(server, mine / "runs", mine / "models")
    run = Run(mine / "runs/tiny/1")
    # A server that ends in the middle: the request line, and then nothing more goes through.
    host = server.removeprefix("http://")
    with stalled_link(host, to_server=2_000) as link, pytest.raises(TrackingFailed, match="did not take it"):
        Mlflow(f"http://{link}", mine / "runs", mine / "models").send([run], seconds=8)
    first = tracker.send([run], seconds=PATIENCE)[0]
    client = MlflowClient(server)
    had = ask(client, first["mlflow_run"])
    assert tracker.send([run], seconds=PATIENCE)[0] == first
    assert ask(client, first["mlflow_run"]) == had
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 1
    assert len(client.search_model_versions("name = 'tiny'")) == 1

    card = json.loads((mine / "models/tiny/1/assets.extra/model_card.json").read_text())
    rows = run.history()
    assert (had["status"], had["name"]) == ("FINISHED", "tiny/1")
    assert had["parameters"]["fit.epochs"] == "1"
    assert json.loads(had["parameters"]["network.hidden"]) == [2]
    assert had["metrics"]["val_loss"] == [(row["epoch"], row["val_loss"]) for row in rows]
    assert had["metrics"]["test_accuracy"] == [(1, card["metrics"]["test"]["accuracy"])]
    assert had["artefacts"] == [
        *("history.csv", "history.json", "history.png", "model", "model/model_card.json", "run.json"),
    ]
    for split, context in (("train", "training"), ("test", "evaluation")):
        name, profile = had["inputs"][context]
        assert name == f"{card['data']['name']} {split}"
        assert profile == {key: card["data"][split][key] for key in ("examples", "sha256")}
    registered = client.get_model_version("tiny", first["mlflow_version"])
    assert registered.tags["atelier.version"] == "1"
    assert registered.tags["atelier.saved_model"] == str((mine / "models/tiny/1").resolve())
    assert registered.tags["atelier.saved_model_sha256"] == card["files"]["saved_model.pb"]["sha256"]
    assert registered.run_id == first["mlflow_run"]


def labels(mine: Path, text: str) -> None:
    (mine / "models/models.config").write_text(
        f'model_config_list {{ config {{ name: "tiny" base_path: "/m/tiny" model_platform: "tensorflow" {text} }} }}'
    )


def test_aliases_follow_the_labels_and_are_never_read(server: str, mine: Path) -> None:
    from mlflow import MlflowClient

    number = Mlflow(server, mine / "runs", mine / "models").send(
        [Run(mine / "runs/tiny/1")], seconds=PATIENCE
    )[0]
    client = MlflowClient(server)
    command = ["mirror", "--timeout", PATIENCE, "--models", mine / "models", "--tracking-uri", server]
    labels(mine, 'version_labels { key: "stable" value: 1 } version_labels { key: "previous" value: 1 }')
    # What somebody has set there by hand is not taken over.
    client.set_registered_model_alias("tiny", "canary", number["mlflow_version"])
    done = trainer(*command)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "tiny": {
            "stable": {"version": 1, "mlflow_version": number["mlflow_version"]},
            "canary": {"version": None, "mlflow_version": None},
        }
    }
    assert client.get_registered_model("tiny").aliases == {"stable": number["mlflow_version"]}
    # Version 7 was never tracked: its label has no alias, rather than that of another version.
    labels(mine, 'version_labels { key: "stable" value: 7 }')
    done = trainer(*command)
    assert done.returncode == 1
    assert "Not registered there, so without an alias: tiny version 7 (stable)" in done.stderr
    assert client.get_registered_model("tiny").aliases == {}


def test_a_training_ends_well_when_the_server_hangs(trained: Path, tmp_path: Path, silent: str) -> None:
    environ = {"MLFLOW_TRACKING_URI": silent, "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}
    places = ["--models", tmp_path / "models", "--data", tmp_path / "data", "--runs", tmp_path / "runs"]
    done = trainer("train", trained / "job.json", *places, environ=environ)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["version"] == 1
    assert (tmp_path / "models/tiny/1/saved_model.pb").is_file()
    assert f"warning: not tracked: {silent} did not take it" in done.stderr
    assert "`atelier-trainer track tiny/1` sends it later" in done.stderr


def test_no_server_keeps_the_caller_longer_than_the_deadline(
    mine: Path, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither MLflow's own limits nor those of the user hold it: the sending process is ended."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "100000")
    with pytest.raises(TrackingFailed, match="did not take it within 1 s"):
        Mlflow(silent, mine / "runs", mine / "models").send([Run(mine / "runs/tiny/1")], seconds=1)


def test_a_server_that_is_not_there_is_one_sentence(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gone = f"http://127.0.0.1:{listener.getsockname()[1]}"
    tracker_for(gone, mine / "runs", mine / "models").finished([Run(mine / "runs/tiny/1")])
    said = capsys.readouterr().err
    assert said.startswith(f"warning: not tracked: {gone} did not take it:")
    assert said.count("\n") == 1


def test_without_the_extra_nothing_is_tracked_and_nothing_fails(mine: Path, tmp_path: Path) -> None:
    environ = without_packages(tmp_path / "blocked", "mlflow") | {"MLFLOW_TRACKING_URI": "sqlite"}
    places = ["--models", mine / "models", "--data", mine / "data", "--runs", mine / "runs"]
    done = trainer("train", mine / "job.json", *places, environ=environ)
    assert done.returncode == 0, done.stderr
    assert (
        "warning: not tracked: MLflow is not installed: pip install 'atelier-trainer[mlflow]'" in done.stderr
    )
    assert not (mine / "runs/mlflow.db").exists()
    asked = trainer("track", "tiny", "--runs", mine / "runs", environ=environ)
    assert asked.returncode == 2
    assert "pip install 'atelier-trainer[mlflow]'" in asked.stderr


def test_a_database_needs_no_server_and_nobody_else_hears_of_it(mine: Path, tmp_path: Path) -> None:
    """Every name that is looked up is noted: MLflow's telemetry would ask for its own."""
    noted = tmp_path / "looked-up"
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\nreal = socket.getaddrinfo\n"
        f"def note(host, *args, **kwargs):\n    open({str(noted)!r}, 'a').write(f'{{host}}\\n')\n"
        "    return real(host, *args, **kwargs)\nsocket.getaddrinfo = note\n"
    )
    # Under these MLflow would switch its telemetry off by itself.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CI"))}
    environ["PYTHONPATH"] = str(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) - set(environ):
            patch.delenv(name)
        patch.setenv("PYTHONPATH", str(tmp_path))
        done = trainer("track", "tiny", "--models", mine / "models", "--tracking-uri", "sqlite", "--copy-model",
                       environ={"ATELIER_RUNS": str(mine / "runs")}, cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)[0]["mlflow_run"]
    assert not noted.exists()
    assert not (tmp_path / "mlruns").exists()
    with sqlite3.connect(mine / "runs/mlflow.db") as database:
        assert database.execute("select run_uuid from runs").fetchall() == [(run,)]
    copied = mine / "runs/mlflow-artifacts" / run / "artifacts/model/saved_model.pb"
    assert copied.read_bytes() == (mine / "models/tiny/1/saved_model.pb").read_bytes()


def test_nobody_is_told_unless_it_was_asked_for() -> None:
    assert isinstance(tracker_for("", Path("runs"), Path("models")), NoTracker)
    assert isinstance(tracker_for(None, Path("runs"), Path("models")), NoTracker)


@pytest.mark.parametrize("address", ["mlruns", "file:///tmp/mlruns", "/srv/mlruns", "localhost:5000"])
def test_an_address_that_is_none_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingRefused, match="expected http://HOST:PORT"):
        resolved(address, tmp_path)


def test_a_password_in_an_address_is_not_shown() -> None:
    assert shown("https://ada:secret@tracker.example/x") == "https://tracker.example/x"
