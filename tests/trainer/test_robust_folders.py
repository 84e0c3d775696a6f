"""Folders in a bad state: lock files that are links, versions that are not listed, damaged runs, full disks."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from atelier_trainer.errors import PublishError, RunError
from atelier_trainer.file_lock import locked, try_lock
from atelier_trainer.job import Job
from atelier_trainer.printable import printable
from atelier_trainer.publishing import pipeline, version_folder
from atelier_trainer.publishing.models_config import ensure_listed
from atelier_trainer.publishing.staging import LARGEST_VERSION, Staging, explain_write_failure, versions
from atelier_trainer.training import run as runs

from tests.support.trainer_command import trainer


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "precious.txt"
    path.write_text("precious")
    return path


def test_a_publish_lock_that_is_a_link_is_refused_and_its_target_kept(tmp_path: Path, victim: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / ".publish.lock").symlink_to(victim)
    with pytest.raises(PublishError, match="no symbolic link"), Staging(model):
        pass
    assert victim.read_text() == "precious"


def test_an_abandoned_staging_lock_that_is_a_link_is_left_alone(tmp_path: Path, victim: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / ".staging-0.lock").symlink_to(victim)
    with Staging(model) as staging:
        staging.publish()
    assert victim.read_text() == "precious"


def test_a_models_config_lock_that_is_a_link_is_refused(tmp_path: Path, victim: Path) -> None:
    (tmp_path / ".models.config.lock").symlink_to(victim)
    with pytest.raises(OSError, match="no symbolic link"):
        ensure_listed(tmp_path, "model")
    assert victim.read_text() == "precious"


def test_a_lock_is_not_cut_to_nothing_and_no_fifo_is_waited_for(tmp_path: Path, victim: Path) -> None:
    with locked(victim):
        assert try_lock(victim) is None
    assert victim.read_text() == "precious"
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="expected a lock file"):
        try_lock(tmp_path / "fifo")


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".last-version.0123.new").write_text("7")
    (tmp_path / "models.config.0123.new").write_text("half")
    with Staging(tmp_path) as staging:
        staging.publish()
    ensure_listed(tmp_path, "model")
    assert list(tmp_path.glob("*.new")) == []
    assert list(tmp_path.glob(".*.new")) == []


def test_a_version_above_int64_is_never_published(tmp_path: Path) -> None:
    (tmp_path / str(LARGEST_VERSION)).mkdir()
    (tmp_path / str(10**30)).mkdir()
    assert versions(tmp_path) == [LARGEST_VERSION]
    with Staging(tmp_path) as staging, pytest.raises(PublishError, match="no server can load"):
        staging.publish()
    assert versions(tmp_path) == [LARGEST_VERSION]


def test_a_full_disk_names_the_folder_that_is_on_it(tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "runs" / "x"))
    said = explain_write_failure(tmp_path / "runs", error)
    assert f"The disk under {tmp_path / 'runs'} is full" in said


TABLE = "a,b,label\n" + "".join(f"{row % 7},{row % 5},{row % 2}\n" for row in range(40))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny job, its run and its version."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "a.csv").write_text(TABLE)
    (folder / "job.json").write_text(
        json.dumps(
            {
                "name": "tiny",
                "model": "tiny",
                "data": {"csv": "a.csv"},
                "network": {"hidden": [2]},
                "fit": {"batch_size": 8, "epochs": 1, "validation_split": 0.1},
            }
        )
    )
    assert train(folder).returncode == 0
    return folder


def train(folder: Path, *more: str) -> Any:
    places = ["--models", folder / "models", "--data", folder / "data", "--runs", folder / "runs"]
    return trainer("train", folder / "job.json", *places, *more)


def up_to_date(folder: Path) -> dict[str, Any] | None:
    job = Job.from_document(json.loads((folder / "job.json").read_text()), folder)
    return pipeline.up_to_date(job, folder / "models")


def test_if_needed_lists_a_version_that_is_not_listed(trained: Path) -> None:
    config = trained / "models" / "models.config"
    before = config.read_text()
    config.unlink()
    found = up_to_date(trained)
    assert found is not None
    assert found["version"] == 1
    assert config.read_text() == before


@pytest.mark.parametrize("part", version_folder.PARTS)
def test_if_needed_does_not_take_half_a_version_for_one(trained: Path, part: str) -> None:
    path = trained / "models" / "tiny" / "1" / part
    path.rename(path.with_name("away"))
    try:
        assert up_to_date(trained) is None
    finally:
        path.with_name("away").rename(path)
    assert up_to_date(trained) is not None


@pytest.mark.parametrize(
    "card", ["[]", "{}", "null", '{"metrics": 3}', '{"metrics": {"test": 1}', "\x00", "[" * 9000]
)
def test_a_model_card_of_wrong_types_is_no_version(trained: Path, card: str) -> None:
    path = trained / "models" / "tiny" / "1" / "assets.extra" / "model_card.json"
    kept = path.read_text()
    path.write_text(card)
    try:
        assert up_to_date(trained) is None
    finally:
        path.write_text(kept)


def test_a_version_that_could_not_be_listed_is_listed_by_the_same_command(trained: Path) -> None:
    """What a kill between rename and listing leaves: the version, a run that is not recorded as published."""
    (trained / "models" / "models.config").unlink()
    path = trained / "runs" / "tiny" / "1" / "run.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "state": "fitted"}))
    done = train(trained)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["version"] == 1
    assert versions(trained / "models" / "tiny") == [1]
    assert "tiny" in (trained / "models" / "models.config").read_text()


def test_a_broken_models_config_stops_before_anything_is_trained(trained: Path) -> None:
    config = trained / "models" / "models.config"
    kept = config.read_text()
    config.write_text("model_config_list {")
    try:
        done = train(trained, "--seed", "5")
    finally:
        config.write_text(kept)
    assert done.returncode == 1
    assert "not a ModelServerConfig" in done.stderr
    assert "epoch" not in done.stderr
    assert versions(trained / "models" / "tiny") == [1]


@pytest.mark.parametrize(
    "content", ["[]", "{}", "null", '{"state": 3, "job": {}}', '{"state": "fitted", "job": []}', "["]
)
def test_a_damaged_run_is_an_error_and_no_trace(trained: Path, tmp_path: Path, content: str) -> None:
    folder = tmp_path / "runs" / "tiny" / "1"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(content)
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        runs.find(str(folder), tmp_path)


@pytest.mark.parametrize("content", ["{}", "3", '[{"loss": 1}]', '[{"epoch": "x"}]', "[[]]", "["])
def test_a_damaged_history_is_an_error_and_no_trace(trained: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text((trained / "runs" / "tiny" / "1" / "run.json").read_text())
    (tmp_path / "history.json").write_text(content)
    with pytest.raises(RunError, match=r"history\.json is damaged"):
        runs.Run(tmp_path).history()


def test_runs_that_cannot_be_written_are_named(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    done = trainer(
        "train",
        trained / "job.json",
        "--models",
        tmp_path / "models",
        "--data",
        tmp_path,
        "--runs",
        tmp_path / "runs",
    )
    assert done.returncode == 1
    assert f"Writing under {tmp_path / 'runs' / 'tiny'} failed" in done.stderr
    assert "Traceback" not in done.stderr


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert printable("a\x1b[31mb\r\x9bc\nd\te\u202eé") == "a\\x1b[31mb\\r\\x9bc\nd\te\\u202eé"
