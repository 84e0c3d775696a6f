"""Folders in a bad state: lock files that are links, versions that are not listed, damaged runs, full disks."""

import errno
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from atelier_trainer.cli import runs as run_commands
from atelier_trainer.errors import PublishError, RunError
from atelier_trainer.file_lock import locked, try_lock
from atelier_trainer.files import explain_write_failure, read_text
from atelier_trainer.job import Job
from atelier_trainer.printable import printable
from atelier_trainer.publishing import pipeline, version_folder
from atelier_trainer.publishing.models_config import ensure_listed, read_config
from atelier_trainer.publishing.staging import LARGEST_VERSION, Staging, versions
from atelier_trainer.training import run as runs

from tests.support.trainer_command import COMMAND, trainer


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
        ensure_listed(tmp_path, "model", 1)
    assert victim.read_text() == "precious"


def test_a_lock_is_not_cut_to_nothing_and_no_fifo_is_waited_for(tmp_path: Path, victim: Path) -> None:
    with locked(victim):
        assert try_lock(victim) is None
    assert victim.read_text() == "precious"
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="expected a lock file"):
        try_lock(tmp_path / "fifo")


def test_a_picture_is_not_drawn_through_a_link(trained: Path, tmp_path: Path, victim: Path) -> None:
    picture = tmp_path / "compare-runs.png"
    picture.symlink_to(victim)
    run_commands.compare(["tiny"], trained / "runs", tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert victim.read_text() == "precious"


def test_what_killed_writers_left_is_removed_and_a_users_file_is_not(tmp_path: Path) -> None:
    digits = "0123456789abcdef" * 2
    (tmp_path / f".last-version.{digits}.new").write_text("7")
    (tmp_path / f"models.config.{digits}.new").write_text("half")
    (tmp_path / "models.config.mine.new").write_text("precious")
    with Staging(tmp_path) as staging:
        staging.publish()
    ensure_listed(tmp_path, "model", 1)
    assert [path.name for path in tmp_path.glob("*.new")] == ["models.config.mine.new"]
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
    assert f"The disk under {tmp_path / 'runs'} is full" in str(
        explain_write_failure(tmp_path / "runs", error)
    )


def test_what_could_not_be_read_elsewhere_is_no_failure_to_write_here(tmp_path: Path) -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/somewhere/else.csv")
    assert explain_write_failure(tmp_path, error) is None


def test_no_pipe_is_waited_for_in_a_files_place(tmp_path: Path, trained: Path) -> None:
    for name in (".last-version", "models.config", "run.json", "history.json", "card"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(OSError, match="expected a file"):
            read_text(tmp_path / name)
    with Staging(tmp_path) as staging, pytest.raises(PublishError, match="expected a file"):
        staging.publish()
    with pytest.raises(PublishError, match="cannot be read"):
        ensure_listed(tmp_path, "model", 1)
    with pytest.raises(OSError, match="expected a file"):
        runs.Run(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        'model_config_list { config { name: "other" base_path: "/o" } } # } the end\n',
        '# first\nmodel_config_list {\n  # ours }\n  config {\n    name: "other"\n    base_path: "/o"\n  }\n}\n',
        'model_config_list { # mine\n config { name: "model" base_path: "/o" } config { name: "b" base_path: "/o" } }',
        "# nothing yet\n",
        'model_config_list: < # old brackets\n config: < name: "other" base_path: "/o" > >',
    ],
)
def test_comments_and_other_entries_of_models_config_stay(tmp_path: Path, text: str) -> None:
    config = tmp_path / "models.config"
    config.write_text(text)
    before = {entry.name: entry.base_path for entry in read_config(config).model_config_list.config}
    assert ensure_listed(tmp_path, "model", 1)
    after = {entry.name: entry.base_path for entry in read_config(config).model_config_list.config}
    assert after == before | {"model": str(tmp_path / "model")}
    assert not ensure_listed(tmp_path, "model", 1)
    for comment in ("# } the end", "# first", "# ours }", "# mine"):
        assert (comment in text) == (comment in config.read_text())


def test_a_models_config_of_another_kind_is_kept(tmp_path: Path) -> None:
    (tmp_path / "models.config").write_text("custom_model_config { }")
    with pytest.raises(PublishError, match="custom_model_config"):
        ensure_listed(tmp_path, "model", 1)
    (tmp_path / "models.config").unlink()
    (tmp_path / "models.config").mkdir()
    with pytest.raises(PublishError, match="Is a directory"):
        ensure_listed(tmp_path, "model", 1)


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


def test_a_path_that_another_model_has_is_not_a_listing(trained: Path) -> None:
    config = trained / "models" / "models.config"
    kept = config.read_text()
    swapped = kept.replace('name: "tiny"', 'name: "other"')
    elsewhere = swapped.replace(str(trained), "/elsewhere").replace('"other"', '"tiny"')
    config.write_text(swapped + elsewhere.replace("model_config_list {", "").strip().removesuffix("}"))
    config.write_text(
        swapped.rstrip().removesuffix("}") + elsewhere.replace("model_config_list {", "").lstrip()
    )
    try:
        assert up_to_date(trained) is not None
        paths = {entry.name: entry.base_path for entry in read_config(config).model_config_list.config}
        assert paths["tiny"] == str((trained / "models" / "tiny").resolve())
    finally:
        config.write_text(kept)


def test_if_needed_says_that_it_listed_a_version_only_when_it_did(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = trained / "models" / "models.config"
    kept = config.read_text()
    config.write_text(" ".join(kept.split()))
    try:
        assert up_to_date(trained) is not None
        assert "not listed" not in capsys.readouterr().err
    finally:
        config.write_text(kept)


@pytest.mark.parametrize("name", [*version_folder.PARTS, "assets.extra/golden.npz"])
def test_if_needed_does_not_take_a_version_that_was_cut_for_a_whole_one(trained: Path, name: str) -> None:
    path = trained / "models" / "tiny" / "1" / name
    kept = path.read_bytes()
    path.write_bytes(kept[:-1])
    try:
        assert up_to_date(trained) is None
    finally:
        path.write_bytes(kept)


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


@contextmanager
def published_and_not_listed(trained: Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that has renamed its version and waits to list it: the test holds the lock of models.config."""
    for name in ("a.csv", "job.json"):
        (folder / name).write_text((trained / name).read_text())
    models = folder / "models"
    models.mkdir()
    command = [COMMAND, "train", "job.json", "--models", "models", "--data", "data", "--runs", "runs"]
    with (
        locked(models / ".models.config.lock"),
        subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        deadline = time.monotonic() + 60
        while not (models / "tiny" / "1").exists() and time.monotonic() < deadline:
            assert process.poll() is None
        yield process


@pytest.mark.parametrize("again", [(), ("--if-needed",)])
def test_kill_9_between_rename_and_listing_is_mended_by_the_same_command(
    trained: Path, tmp_path: Path, again: tuple[str, ...]
) -> None:
    with published_and_not_listed(trained, tmp_path) as process:
        process.kill()
    models = tmp_path / "models"
    assert versions(models / "tiny") == [1]
    assert not (models / "models.config").exists()
    done = train(tmp_path, *again)
    assert done.returncode == 0, done.stderr
    assert "epoch" not in done.stderr
    assert versions(models / "tiny") == [1]
    assert [entry.name for entry in read_config(models / "models.config").model_config_list.config] == [
        "tiny"
    ]


def test_an_interrupt_after_the_rename_does_not_say_that_nothing_was_published(
    trained: Path, tmp_path: Path
) -> None:
    with published_and_not_listed(trained, tmp_path) as process:
        process.terminate()
        _, said = process.communicate()
    assert process.returncode == 130
    assert "models/tiny/1 is published" in said
    assert "othing was published" not in said


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
