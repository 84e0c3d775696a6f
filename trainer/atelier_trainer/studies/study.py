"""A study: several jobs trained on the same data to be compared, and nothing published."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from atelier_trainer.data import job_data
from atelier_trainer.errors import JobError
from atelier_trainer.files import writing
from atelier_trainer.job import Job
from atelier_trainer.job_file import load_job, read_yaml, shipped_jobs
from atelier_trainer.training.run import Run, continued_or_new, finished


def jobs_of(name: str, overrides: Sequence[str]) -> list[Job]:
    """The jobs of a study file, or of the shipped study of that name. Raises `JobError`."""
    folder = shipped_jobs().parent / "studies"
    path = next((item for item in (Path(name), folder / f"{name}.yaml") if item.is_file()), None)
    if path is None:
        known = ", ".join(sorted(item.stem for item in folder.glob("*.yaml")))
        raise JobError(f"No study {name!r}: expected a YAML file or one of: {known or 'none shipped'}.")
    document = read_yaml(path)
    if not isinstance(document, dict) or set(document) - {"jobs", "set"} or not document.get("jobs"):
        raise JobError(
            f"{path}: expected `jobs`, a list of job names, and `set`, a list of KEY=VALUE or none."
        )
    changes = [*(document.get("set") or ()), *overrides]
    # A job is looked for beside the study's file first, then among the shipped jobs.
    beside = [path.parent / str(job) for job in document["jobs"]]
    return [
        load_job(str(near if near.is_file() else job), changes)
        for near, job in zip(beside, document["jobs"], strict=True)
    ]


def run_study(jobs: Sequence[Job], data_folder: Path, runs: Path) -> list[Run]:
    """Train each job once; a run that is finished is taken as it is, one that was interrupted goes on."""
    from atelier_trainer.training.failures import explained
    from atelier_trainer.training.fit import fit
    from atelier_trainer.training.inference import evaluate

    done = []
    for number, job in enumerate(jobs, 1):
        source_digest = job_data.source_digest(job)
        run = finished(runs, job, source_digest)
        if run is None:
            print(f"[{number}/{len(jobs)}] {job.name}", file=sys.stderr, flush=True)
            with writing(data_folder):
                data_set = job_data.load(job, data_folder)
            job_data.tell_findings(data_set)
            with (
                explained(runs / job.name),
                continued_or_new(runs, job, source_digest, done=("fitted", "published")) as run,
            ):
                fitted = fit(job, data_set, run)
                run.update(
                    state="fitted",
                    epochs=fitted.epochs,
                    best_epoch=fitted.best_epoch,
                    metrics={"test": evaluate(fitted, data_set.test)},
                    parameters=int(fitted.model.count_params()),
                )
        else:
            print(
                f"[{number}/{len(jobs)}] {job.name}: trained before, run {run.name}",
                file=sys.stderr,
                flush=True,
            )
        done.append(run)
    return done
