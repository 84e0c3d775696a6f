"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from atelier_trainer.job import Job
from atelier_trainer.job_file import load_job

Models = Annotated[Path, typer.Option(envvar="ATELIER_MODELS", help="The model repository.")]
DataFolder = Annotated[
    Path, typer.Option("--data", envvar="ATELIER_DATA", help="The folder data sets are cached in.")
]
Runs = Annotated[Path, typer.Option(envvar="ATELIER_RUNS", help="The folder of the runs.")]
Reports = Annotated[Path, typer.Option(envvar="ATELIER_REPORTS", help="Where pictures and tables go.")]
Set = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the job, as fit.epochs=3.")
]
Tracking = Annotated[
    str,
    typer.Option(
        "--tracking-uri",
        envvar="MLFLOW_TRACKING_URI",
        metavar="URI",
        help="Where MLflow keeps runs: http://.., sqlite:///.., or sqlite; without it nothing is tracked.",
    ),
]
Seed = Annotated[int | None, typer.Option(help="Short for --set fit.seed=N.")]


def job_from(name: str, overrides: Sequence[str], seed: int | None, deterministic: bool) -> Job:
    """The job with what the command line changes."""
    changes = list(overrides or ())
    changes += [f"fit.seed={seed}"] if seed is not None else []
    changes += ["fit.deterministic=true"] if deterministic else []
    return load_job(name, changes)
