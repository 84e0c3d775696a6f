"""JOB is found, or refused with the nearest name, before anything is set up; the files a job names are known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stack.errors import UsageError
from stack.jobs import JobFile, files_of, find_job, find_study, require_data
from tests.support.checkout import ROOT


def job_of(path: Path, text: str) -> JobFile:
    """A job file with this text."""
    path.write_text(text)
    return find_job(path.parent, str(path))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fashion-dnse", "Did you mean fashion-dense?"),
        ("jobs/fashion-cn.yaml", "Did you mean fashion-cnn?"),
        ("imdb", "is a study, not a job: make study JOB=imdb"),
        ("fashion-dense fashion-cnn", "expected one job at a time"),
        ("examples/own_csv/jbo.yaml", "Did you mean examples/own_csv/job.yaml?"),
        ("nothing-like-it", "expected a YAML file or one of: fashion-cnn, fashion-dense"),
        ("trainer", "is a folder"),
    ],
)
def test_a_wrong_job_is_named_with_the_nearest_one(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=rf"JOB={name}.*{re.escape(said)}"):
        find_job(ROOT, name)


@pytest.mark.parametrize(
    ("name", "said"),
    [("imbd", "Did you mean imdb?"), ("imdb-l2", "is a job, not a study: make up JOB=imdb-l2")],
)
def test_a_wrong_study_is_named_with_the_nearest_one(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        find_study(ROOT, name)


@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "trainer" / "jobs").glob("*.yaml"))])
def test_every_shipped_job_is_found_by_name_and_path_and_shows_its_model(name: str) -> None:
    by_name, by_path = find_job(ROOT, name), find_job(ROOT, f"trainer/jobs/{name}.yaml")
    assert by_name.model == name.split("-")[0]
    assert by_name.shipped
    assert not by_path.shipped
    assert by_name.key == by_path.key == name


@pytest.mark.parametrize(
    "text",
    [
        "name: a\nmodel: my-model\n",
        "name: a\nmodel:   'my-model'  # served under this name\n",
        '{"name": "a", "model": "my-model"}\n',
        "{name: a, model: my-model}\n",
    ],
)
def test_the_model_of_a_job_is_read_however_it_is_written(tmp_path: Path, text: str) -> None:
    assert job_of(tmp_path / "job.yaml", text).model == "my-model"


@pytest.mark.parametrize(
    "line",
    [
        "  csv: ../tables/my table.csv",
        "  csv: ../tables/my table.csv   # measured by hand",
        '  csv: "../tables/my table.csv"',
        "  csv: '../tables/my table.csv'",
        "  {csv: ../tables/my table.csv, label: kind}",
        '  {"csv": "../tables/my table.csv"}',
        "  csv: ../tables/my*.csv",
        "  csv: ../tables/my [st]able.csv",
        "  csv: {absolute}",
        "  parts:\n    - ../tables/my table.csv",
        "  parts: [../tables/my table.csv, other.csv]",
        "  csv:\n    ../tables/my table.csv",
        "  csv: >-\n    ../tables/my table.csv",
        "  csv: &table ../tables/my table.csv",
        "  csv: !!str '../tables/my table.csv'",
        '  csv: "../tables/my\\u0020table.csv"',
    ],
)
def test_a_file_that_a_job_names_is_found_however_it_is_written(tmp_path: Path, line: str) -> None:
    for name in ("jobs", "tables"):
        (tmp_path / name).mkdir()
    table = tmp_path / "tables" / "my table.csv"
    table.touch()
    line = line.replace("{absolute}", str(table))
    job = job_of(tmp_path / "jobs" / "job.yaml", f"name: a\nmodel: b\ndata:\n{line}\nfit: {{epochs: 3}}\n")
    assert {path.resolve() for _, path in files_of(job)} == {table}
    require_data(job)
    table.unlink()
    if (
        re.search(r"csv\W+(\.\.|\{absolute\})", line)
        and "&" not in line
        and "\n" not in line
        and "\\" not in line
    ):
        with pytest.raises(UsageError, match=r"data\.csv: .*tables/my.*csv does not exist"):
            require_data(job)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("  csv: tabel.csv", r"data\.csv: .*/tabel\.csv does not exist.* Did you mean table\.csv\?"),
        ("  {csv: table.csv, test: missing.csv, label: a}", r"data\.test: .*/missing\.csv does not exist"),
        ('  {"csv": "table.csv", "validation": "v.csv"}', r"data\.validation: .*/v\.csv does not exist"),
        ("  npz: 'no such.npz'", r"data\.npz: .*/no such\.npz does not exist"),
        ("  csv: part-*.csv", r"data\.csv: .*/part-\*\.csv does not exist"),
    ],
)
def test_data_that_are_not_there_are_named_before_the_set_up(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "table.csv").touch()
    with pytest.raises(UsageError, match=f"JOB=.*{said}"):
        require_data(job_of(tmp_path / "job.yaml", f"name: a\nmodel: b\ndata:\n{line}\n"))


@pytest.mark.parametrize(
    "line",
    [
        "  csv: table.csv  # not: csv: gone.csv",
        "  # csv: gone.csv\n  csv: table.csv",
        "  {csv: table.csv, test: null, test_split: 0.3}",
        "  {csv: table.csv, test: ~}",
        "  csv: &file table.csv\n  test: *file",
        "  csv: a,b.csv",
        "  csv: >-\n    gone.csv",
        "  name: imdb",
    ],
)
def test_what_cannot_be_told_here_is_left_to_the_trainer(tmp_path: Path, line: str) -> None:
    for name in ("table.csv", "a,b.csv"):
        (tmp_path / name).touch()
    require_data(job_of(tmp_path / "job.yaml", f"name: a\nmodel: b\ndata:\n{line}\n"))


def test_a_study_brings_the_files_of_its_jobs(tmp_path: Path) -> None:
    (tmp_path / "table.csv").touch()
    job_of(tmp_path / "first.yaml", "name: first\ndata: {csv: table.csv}\n")
    study = tmp_path / "study.yaml"
    study.write_text("jobs: [first.yaml, study.yaml, fashion-dense]\n")
    found = files_of(find_study(tmp_path, str(study)))
    assert {path.name for _, path in found} == {"first.yaml", "table.csv", "study.yaml"}


def test_files_in_a_folder_that_a_job_names_are_seen(tmp_path: Path) -> None:
    (tmp_path / "idx").mkdir()
    (tmp_path / "idx" / "train-images-idx3-ubyte").touch()
    job = job_of(tmp_path / "job.yaml", "name: a\ndata: {idx: idx}\n")
    assert tmp_path / "idx" / "train-images-idx3-ubyte" in job.seen()


def test_a_slash_is_no_file(tmp_path: Path) -> None:
    assert files_of(job_of(tmp_path / "job.yaml", 'data: {separator: "/", missing: [/, "//"]}\n')) == []


def test_values_that_cannot_name_files_are_none(tmp_path: Path) -> None:
    long = "x" * 5000
    assert (
        files_of(job_of(tmp_path / "job.yaml", f'name: {long}\nlabel: "\\0"\nfit: [1, 2]\n# ./job.yaml\n'))
        == []
    )
