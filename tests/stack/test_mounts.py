"""What a container is given of the host's files, and what the host calls the container's paths."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stack.engines.mounts import HostNames, Mounts, writable
from stack.errors import UsageError
from stack.jobs import find_job
from stack.settings import container_user


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """A folder of jobs beside a folder of tables."""
    tmp_path.chmod(0o755)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "iris.csv").touch()
    (tmp_path / "jobs").mkdir()
    return tmp_path / "jobs"


def options_of(jobs: Path, value: str) -> list[str]:
    """The mounts for a job with this value, without the one of its own folder."""
    (jobs / "job.yaml").write_text(f"name: a\ndata:\n  csv: {value}\n")
    mounts = Mounts()
    assert mounts.show_job(find_job(jobs, "job.yaml")) == f"/host{jobs}/job.yaml"
    options = [option for option in mounts.options() if option != "-v"]
    assert options[0] == f"{jobs}:/host{jobs}:ro"
    return options[1:]


def test_a_file_outside_of_the_jobs_folder_is_mounted_where_the_job_looks_for_it(jobs: Path) -> None:
    table = jobs.parent / "tables" / "iris.csv"
    assert options_of(jobs, "../tables/iris.csv") == [f"{table}:/host{table}:ro"]
    assert options_of(jobs, str(table)) == [f"{table}:{table}:ro"]
    assert options_of(jobs, "../tables/*.csv") == [f"{table.parent}:/host{table.parent}:ro"]


def test_a_file_in_the_jobs_folder_needs_no_mount_of_its_own(jobs: Path) -> None:
    (jobs / "own.csv").touch()
    assert options_of(jobs, "own.csv") == []
    assert options_of(jobs, "../jobs/own*.csv") == []


def test_a_link_out_of_the_jobs_folder_is_mounted_with_its_target(jobs: Path) -> None:
    table = jobs.parent / "tables" / "iris.csv"
    (jobs / "link.csv").symlink_to(table)
    assert options_of(jobs, "link.csv") == [f"{table}:/host{jobs}/link.csv:ro"]
    assert options_of(jobs, "l*.csv") == [f"{table}:/host{jobs}/link.csv:ro"]


def test_a_place_that_is_the_containers_own_is_refused_with_a_way_out(jobs: Path) -> None:
    with pytest.raises(UsageError, match=r"names /etc/hostname, .* ENGINE=local"):
        options_of(jobs, "/etc/hostname")


def test_a_colon_in_a_path_is_refused(jobs: Path) -> None:
    (jobs.parent / "a:b.csv").touch()
    with pytest.raises(UsageError, match=r"a:b\.csv.* colon"):
        options_of(jobs, "'../a:b.csv'")


@pytest.mark.skipif(os.getuid() != 0, reason="only root's containers run as another user")
def test_a_file_that_only_root_can_read_is_named(jobs: Path) -> None:
    table = jobs.parent / "tables" / "iris.csv"
    table.chmod(0o600)
    with pytest.raises(UsageError, match=rf"{table} cannot be read .* chmod o\+r"):
        options_of(jobs, "../tables/iris.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("published /models/fashion/1", "published volume p_models/fashion/1"),
        ("The report: /reports/evaluation.html", "The report: /home/me/a/reports/evaluation.html"),
        ("error: '/host/home/me/x.csv': no", "error: '/home/me/x.csv': no"),
        ("under /models: whether", "under volume p_models: whether"),
        ("at serving:8500 (refused)", "at 127.0.0.1:9500 (refused)"),
        ("see /home/me/models/x and a/models", "see /home/me/models/x and a/models"),
        ("/modelsX /runs-old", "/modelsX /runs-old"),
    ],
)
def test_messages_name_what_the_host_calls_a_path(text: str, said: str) -> None:
    names = HostNames(
        {
            "/models": "volume p_models",
            "/reports": "/home/me/a/reports",
            "/runs": "/home/me/a/runs",
            "serving:8500": "127.0.0.1:9500",
        }
    )
    assert names(text) == said


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_what_a_container_wrote_belongs_to_the_caller_and_all_else_to_whom_it_did(tmp_path: Path) -> None:
    folder, outside = tmp_path / "reports", tmp_path / "outside"
    for path in (folder, outside):
        path.mkdir()
        (path / "theirs").touch()
        os.chown(path / "theirs", 12345, 54321)
    (folder / "link").symlink_to(outside / "theirs")
    (tmp_path / "linked").symlink_to(outside)
    for place in (folder, tmp_path / "linked"):
        with writable(place):
            assert place.stat().st_uid == container_user()[0]
            (place / "new").touch()
            os.chown(place / "new", *container_user())
        assert ((place / "new").stat().st_uid, place.stat().st_uid) == (0, 0)
    for path in (folder, outside):
        assert ((path / "theirs").stat().st_uid, (path / "theirs").stat().st_gid) == (12345, 54321)
