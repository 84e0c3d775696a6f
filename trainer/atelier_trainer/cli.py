"""atelier-trainer: train a job and publish the model, fetch its data, evaluate a published version.

    atelier-trainer train jobs/fashion-dense.yaml
    atelier-trainer train fashion-dense --if-needed
    atelier-trainer data fetch fashion-mnist
    atelier-trainer evaluate models/fashion/1

Progress goes to stderr; the last line on stdout is one JSON document.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from atelier_trainer import dataset
from atelier_trainer.errors import AtelierTrainerError
from atelier_trainer.job import load_job
from atelier_trainer.quiet import silence_startup

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, rich_markup_mode=None)
data_app = typer.Typer(help="The data sets the jobs train on.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Models = Annotated[Path, typer.Option(envvar="ATELIER_MODELS", help="The model repository.")]
Data = Annotated[Path, typer.Option(envvar="ATELIER_DATA", help="The folder data sets are cached in.")]


@app.command()
def train(
    job: Annotated[str, typer.Argument(help="A job file, or the name of a shipped job.")],
    models: Models = Path("models"),
    data: Data = Path("data"),
    if_needed: Annotated[
        bool, typer.Option("--if-needed", help="Do nothing when this job made the newest version.")
    ] = False,
) -> None:
    """Train a job and publish the model as the next version.

    Example: atelier-trainer train jobs/fashion-dense.yaml --models models --data data
    """
    from atelier_trainer.train import train_and_publish, up_to_date

    loaded = load_job(job)
    result = up_to_date(loaded, models) if if_needed else None
    if result:
        # Another command may have needed only the data folder's files; they are checked, not assumed.
        dataset.fetch(data)
        _say(
            f"{loaded.model} version {result['version']} is up to date: it was made by this job ({loaded.name})."
        )
    else:
        silence_startup()
        result = train_and_publish(loaded, models, data)
        _say(f"published {result['path']}")
    print(json.dumps(result), flush=True)


@data_app.command()
def fetch(
    name: Annotated[Literal["fashion-mnist"], typer.Argument(help="The data set.")],
    data: Data = Path("data"),
) -> None:
    """Fetch a data set into the cache, checking every file.

    Example: atelier-trainer data fetch fashion-mnist --data data
    """
    _say(f"{name} is complete in {dataset.fetch(data)}")


@app.command()
def evaluate(
    version: Annotated[Path, typer.Argument(help="A published version's folder, as models/fashion/1.")],
    data: Data = Path("data"),
) -> None:
    """Evaluate a published version on the test split, in this process.

    Example: atelier-trainer evaluate models/fashion/1
    """
    silence_startup()
    from atelier_trainer.exported import ExportedModel

    test = dataset.load(dataset.fetch(data), "test")
    print(json.dumps(ExportedModel(version).evaluate(test)), flush=True)


def main() -> None:
    """The console script: exit codes as in docs/contracts.md, no stack traces for user mistakes."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Outside its standalone mode typer returns the exit code of an interrupt instead of raising it.
        code = app(standalone_mode=False) or 0
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except AtelierTrainerError as error:
        _say(f"error: {error}")
        sys.exit(error.exit_code)
    except OSError as error:
        _say(f"error: {error}")
        sys.exit(1)
    except Exception as error:
        # The command line's own mistakes know how to show themselves; anything else is a defect and keeps its trace.
        if not hasattr(error, "show"):
            raise
        error.show()
        sys.exit(2)
    if code == 130:
        _say("Interrupted; nothing was published.")
    sys.exit(code)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
