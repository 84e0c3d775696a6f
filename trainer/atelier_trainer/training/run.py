"""A run: the folder of one training, from which it is resumed, drawn, compared and saved.

runs/imdb-l2/3/
  run.json                  the job, its digest, its state, and when done its results
  history.json history.csv  one row an epoch
  vocabulary.txt            text jobs: a word a line
  checkpoints/ best/        the state after the last epoch; of the best epoch with early stopping
  tensorboard/              event files
  history.png               accuracy and loss over the epochs
  .lock                     flock held while a process trains it
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from atelier_trainer.errors import RunError
from atelier_trainer.file_lock import try_lock
from atelier_trainer.files import read_text, remove_halves, write_durably
from atelier_trainer.job import Job
from atelier_trainer.metrics.classification import CROSSENTROPY
from atelier_trainer.metrics.regression import RMSE

STATES = ("fitting", "fitted", "published")


class Run:
    """One run's folder. `state` goes from `fitting` over `fitted` to `published`."""

    def __init__(self, folder: Path) -> None:
        """Raises `OSError`, or `RunError` when run.json is damaged."""
        self.folder = folder
        path = folder / "run.json"
        try:
            document = json.loads(read_text(path))
            document.get("metrics", {}).get("test", {})
            if document["state"] not in STATES or not isinstance(document.get("job", {}), dict):
                raise ValueError("its state or its job is none")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RunError(
                f"{path} is damaged ({type(error).__name__}: {error}). Remove the run's folder, and train the "
                "job again."
            ) from None
        self.document: dict[str, Any] = document

    @property
    def state(self) -> str:
        return str(self.document["state"])

    @property
    def job(self) -> Job:
        """Raises `RunError` when run.json holds none."""
        try:
            return Job.model_validate(self.document["job"])
        except (ValueError, KeyError) as error:
            raise RunError(f"{self.folder / 'run.json'} holds no job that can be read: {error}") from None

    @property
    def id(self) -> str | None:
        """No other run has this id, not even one that had the same folder before. Runs of older trainers have none."""
        return self.document.get("id")

    @property
    def name(self) -> str:
        """The folder as people write it: job and number."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    def made_from(self, job: Job, source_digest: str) -> bool:
        """True when this very job and data made it."""
        made_from = (self.document.get("job_digest"), self.document.get("source_digest"))
        return made_from == (job.digest(), source_digest)

    def results(self) -> tuple[int | None, float | None]:
        """The number of weights, and the test accuracy or R2; None what was not known when its training ended.

        Raises `RunError` when run.json lacks what every such run has.
        """
        document = self.document
        needed = ("job", "parameters", "metrics") if self.state == "published" else ("job",)
        missing = [key for key in needed if key not in document]
        parameters = document.get("parameters")
        measured = document.get("metrics", {}).get("test", {})
        score = measured.get("accuracy", measured.get("r2"))
        if missing or not isinstance(parameters, int | None) or not isinstance(score, int | float | None):
            wrong = f"it has no {', '.join(missing)}" if missing else "its results are no numbers"
            raise RunError(
                f"{self.folder / 'run.json'} is damaged: {wrong}. Remove the run's folder, and train the job again."
            )
        return parameters, score

    def update(self, **values: Any) -> None:
        """Change the document, in one step on disk."""
        self.document |= values
        write_durably(self.folder / "run.json", json.dumps(self.document, indent=1) + "\n")

    def history(self) -> list[dict[str, Any]]:
        """One row an epoch: epoch (from 1), seconds, learning_rate, and each metric; empty before the first."""
        try:
            rows = json.loads(read_text(self.folder / "history.json"))
            if not isinstance(rows, list):
                raise ValueError("it is no list")
            for row in rows:
                if not all(isinstance(value, int | float) for value in row.values()) or "epoch" not in row:
                    raise ValueError(f"a row is {str(row)[:80]}")
        except FileNotFoundError:
            return []
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise RunError(
                f"{self.folder / 'history.json'} is damaged ({error}). Remove the run's folder, and train the job "
                "again."
            ) from None
        return rows

    def loss_name(self) -> str:
        """The history's column by which runs can be compared: the loss, without a penalty."""
        rows = self.history()
        return next((name for name in (CROSSENTROPY, RMSE) if rows and name in rows[0]), "loss")

    def write_history(self, rows: list[dict[str, Any]]) -> None:
        """Replace history.json and history.csv."""
        write_durably(self.folder / "history.json", json.dumps(rows, indent=1) + "\n")
        names = list(rows[0]) if rows else []
        lines = [",".join(names), *(",".join(repr(row[name]) for name in names) for row in rows)]
        write_durably(self.folder / "history.csv", "\n".join(lines) + "\n")

    def words(self) -> list[bytes] | None:
        """The vocabulary of a text job, else None."""
        try:
            return read_text(self.folder / "vocabulary.txt").encode().split(b"\n")[:-1]
        except FileNotFoundError:
            return None

    def write_words(self, words: Sequence[bytes]) -> None:
        """Keep the vocabulary; a word never holds white space."""
        write_durably(self.folder / "vocabulary.txt", b"".join(word + b"\n" for word in words).decode())


@contextmanager
def continued_or_new(runs: Path, job: Job, source_digest: str, done: Sequence[str]) -> Iterator[Run]:
    """The newest run of this very job and data that was interrupted (its state is not in `done`), else a new one.

    It is locked as long as the block lasts, so that two commands never train the same run.
    """
    folder = runs / job.name
    folder.mkdir(parents=True, exist_ok=True)
    for number in reversed(_numbers(folder)):
        lock = _try_lock(folder / str(number))
        if lock is None:
            continue
        with lock:
            for name in ("run.json", "history.json", "history.csv", "history.png", "vocabulary.txt"):
                remove_halves(folder / str(number) / name)
            run = _open(folder / str(number))
            if run and run.state not in done and run.made_from(job, source_digest):
                yield run
                return
    with _new(folder) as (path, _):
        identity = {"job_digest": job.digest(), "source_digest": source_digest}
        identity["id"] = uuid.uuid4().hex
        document = {"state": "fitting", "job": job.model_dump(mode="json"), **identity}
        write_durably(path / "run.json", json.dumps(document, indent=1) + "\n")
        yield Run(path)


def finished(runs: Path, job: Job, source_digest: str) -> Run | None:
    """The newest finished run of this very job and data."""
    for number in reversed(_numbers(runs / job.name)):
        run = _open(runs / job.name / str(number))
        if run and run.state != "fitting" and run.made_from(job, source_digest):
            return run
    return None


def find(name: str, runs: Path) -> Run:
    """The run at a path, or the newest finished one of a job. Raises `RunError`."""
    for folder in (Path(name), runs / name):
        if (folder / "run.json").is_file():
            return _finished(Run(folder))
        for number in reversed(_numbers(folder)):
            run = _open(folder / str(number))
            if run and run.state != "fitting":
                return run
    known = sorted(path.name for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []
    raise RunError(
        f"No finished run {name!r}: expected the folder of a run, or a job that was trained: "
        f"{', '.join(known) or f'there is none under {runs}'}. atelier-trainer train JOB makes one."
    )


def _finished(run: Run) -> Run:
    if run.state == "fitting":
        raise RunError(f"The run {run.name} is not finished; the command that began it goes on with it.")
    return run


def _open(folder: Path) -> Run | None:
    try:
        return Run(folder)
    except (OSError, RunError):
        return None


def _numbers(folder: Path) -> list[int]:
    names = (entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else ()
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal())


def _try_lock(folder: Path) -> IO[str] | None:
    return try_lock(folder / ".lock")


@contextmanager
def _new(folder: Path) -> Iterator[tuple[Path, IO[str]]]:
    number = max([0, *_numbers(folder)]) + 1
    while True:
        path = folder / str(number)
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
            continue
        lock = _try_lock(path)
        assert lock is not None
        with lock:
            yield path, lock
        return
