"""Publishing: whatever is killed and whenever, no number stands for an incomplete version."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from atelier_trainer.errors import PublishError
from atelier_trainer.publishing.models_config import ensure_listed
from atelier_trainer.publishing.staging import Staging, versions

from tests.support.models import publish_untrained
from tests.support.trainer_command import COMMAND, trainer

COMPLETE = (
    "saved_model.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    "assets.extra/tf_serving_warmup_requests",
    "assets.extra/model_card.json",
    "assets.extra/golden.npz",
    "assets.extra/reference.json",
)


def assert_all_complete(model_folder: Path) -> None:
    from atelier_trainer.publishing.exported_model import ExportedModel

    for number in versions(model_folder):
        for name in COMPLETE:
            assert (model_folder / str(number) / name).stat().st_size > 0
        ExportedModel(model_folder / str(number))


def test_numbers_rise_and_are_never_used_again(tmp_path: Path) -> None:
    for expected in (1, 2):
        with Staging(tmp_path) as staging:
            assert staging.publish().name == str(expected)
    (tmp_path / "2").rmdir()
    with Staging(tmp_path) as staging:
        assert staging.publish().name == "3"


def test_an_interrupted_publish_leaves_no_version(tmp_path: Path) -> None:
    def interrupted() -> None:
        with Staging(tmp_path) as staging:
            (staging.folder / "saved_model.pb").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert versions(tmp_path) == []
    assert list(tmp_path.glob(".staging-*")) == []


def test_concurrent_publishers_get_different_numbers(tmp_path: Path) -> None:
    published = []

    def publish() -> None:
        with Staging(tmp_path) as staging:
            published.append(int(staging.publish().name))

    threads = [threading.Thread(target=publish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(published) == list(range(1, 9))


def test_a_live_writers_staging_is_left_alone(tmp_path: Path) -> None:
    with Staging(tmp_path) as first:
        with Staging(tmp_path) as second:
            second.publish()
        assert first.folder.is_dir()
        assert first.publish().name == "2"


def test_a_version_is_readable_by_every_server(tmp_path: Path) -> None:
    version = publish_untrained(tmp_path)
    for path in (version, *version.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize("moment", ["fitting", "staging", "exporting", "warming", "carded"])
def test_kill_9_leaves_no_incomplete_version_and_the_next_run_goes_on(
    tmp_path: Path, data: Path, job: Path, moment: str
) -> None:
    models = tmp_path / "models"
    signs = {
        "fitting": ".staging-*.lock",
        "staging": ".staging-*/",
        "exporting": ".staging-*/variables",
        "warming": ".staging-*/assets.extra",
        "carded": ".staging-*/assets.extra/golden.npz",
    }
    # Some of these moments last milliseconds: on a busy machine one may pass unseen, and the next attempt is for it.
    for _ in range(5):
        shutil.rmtree(models, ignore_errors=True)
        if _killed_at(models / "fashion", signs[moment], job, models, data):
            break
    else:
        pytest.fail(f"{moment} was never seen")
    assert_all_complete(models / "fashion")

    with Staging(models / "fashion"):
        assert len(list((models / "fashion").glob(".staging-*"))) == 2  # its own folder and lock, no remains


def _killed_at(folder: Path, sign: str, job: Path, models: Path, data: Path) -> bool:
    """Kill a training when the sign is there; False when it has ended before."""
    with subprocess.Popen(
        [COMMAND, "train", str(job), "--models", str(models), "--data", str(data)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 60
        while not list(folder.glob(sign)) and time.monotonic() < deadline:
            if process.poll() is not None:
                assert process.returncode == 0
                return False
        os.kill(process.pid, signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def test_after_a_kill_the_same_command_publishes(tmp_path: Path, data: Path, job: Path) -> None:
    models = tmp_path / "models"
    (models / "fashion" / ".staging-dead").mkdir(parents=True)
    (models / "fashion" / ".staging-dead.lock").touch()
    done = trainer("train", job, "--models", models, "--data", data)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["version"] == 1
    assert list((models / "fashion").glob(".staging-*")) == []
    assert_all_complete(models / "fashion")


def test_a_full_disk_is_one_clear_error_and_leaves_no_version(
    small_disk: Path, data: Path, job: Path
) -> None:
    done = trainer("train", job, "--models", small_disk / "models", "--data", data)
    assert done.returncode == 1, done.stderr
    assert "is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert versions(small_disk / "models" / "fashion") == []
    assert list((small_disk / "models" / "fashion").glob(".staging-*")) == []


def test_a_full_disk_under_the_runs_is_named_and_not_the_models(
    small_disk: Path, tmp_path: Path, data: Path, job: Path
) -> None:
    places = ["--models", tmp_path / "models", "--runs", small_disk / "runs", "--data", data]
    done = trainer("train", job, *places)
    assert done.returncode == 1, done.stderr
    assert f"The disk under {small_disk / 'runs'}" in done.stderr
    assert "Traceback" not in done.stderr
    assert versions(tmp_path / "models" / "fashion") == []


def test_models_config_keeps_other_entries_and_follows_the_folder(tmp_path: Path) -> None:
    other = (
        'model_config_list { config { name: "other" base_path: "/elsewhere" model_platform: "tensorflow" } }'
    )
    (tmp_path / "models.config").write_text(other)
    ensure_listed(tmp_path, "fashion", 1)
    ensure_listed(tmp_path, "fashion", 1)
    text = (tmp_path / "models.config").read_text()
    assert text.count("base_path") == 2
    assert '"/elsewhere"' in text
    assert f'"{tmp_path.resolve()}/fashion"' in text


def test_a_damaged_models_config_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "models.config").write_text("model_config_list {")
    with pytest.raises(PublishError, match=r"models\.config"):
        ensure_listed(tmp_path, "fashion", 1)
    assert (tmp_path / "models.config").read_text() == "model_config_list {"
