"""atelier-trainer: train a job or import a model, and publish it; look at and convert data; save, restore runs.

\b
    atelier-trainer train fashion-cnn
    atelier-trainer train jobs/fashion-dense.yaml --set fit.epochs=3 --seed 1 --deterministic
    atelier-trainer study imdb
    atelier-trainer compare imdb-baseline imdb-l2
    atelier-trainer save imdb-l2 --format keras --to imdb.keras
    atelier-trainer restore --from imdb.keras --evaluate
    atelier-trainer import old.h5 --name iris --examples iris.csv
    atelier-trainer save fashion-cnn --format onnx --to fashion.onnx
    atelier-trainer track fashion-cnn --tracking-uri http://127.0.0.1:5000
    atelier-trainer data show fashion-mnist
    atelier-trainer evaluate models/fashion/1

Progress goes to stderr; the last line on stdout is one JSON document.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from atelier_trainer import __version__, interrupt
from atelier_trainer.cli.data import app as data_app
from atelier_trainer.cli.importing import app as import_app
from atelier_trainer.cli.options import DataFolder, Models, Runs, Seed, Set, Tracking, job_from
from atelier_trainer.cli.runs import app as runs_app
from atelier_trainer.cli.tracking import app as tracking_app
from atelier_trainer.data import job_data
from atelier_trainer.distributed.cluster import cluster_of
from atelier_trainer.errors import AtelierTrainerError
from atelier_trainer.files import writing
from atelier_trainer.printable import say
from atelier_trainer.quiet import quick_import, silence_startup
from atelier_trainer.standard_streams import open_closed_streams

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, rich_markup_mode=None)
app.add_typer(data_app, name="data")
# These are added without a name, so their commands stand beside train and evaluate.
app.add_typer(import_app)
app.add_typer(runs_app)
app.add_typer(tracking_app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"atelier-trainer {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command()
def train(
    name: Annotated[str, typer.Argument(metavar="job", help="A job file, or the name of a shipped job.")],
    models: Models = Path("models"),
    data_folder: DataFolder = Path("data"),
    runs: Runs = Path("runs"),
    set_: Set = (),  # type: ignore[assignment]
    seed: Seed = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Equal to the bit from run to run; somewhat slower.")
    ] = False,
    if_needed: Annotated[
        bool, typer.Option("--if-needed", help="Do nothing when this job made the newest version.")
    ] = False,
    follow_newest: Annotated[
        bool,
        typer.Option(
            "--follow-newest",
            help="List a new model so that servers take every new version, without a release.",
        ),
    ] = False,
    tracking_uri: Tracking = "",
) -> None:
    """Train a job and publish the model as the next version. A run that was interrupted is resumed.

    Example: atelier-trainer train jobs/fashion-dense.yaml --set fit.epochs=3 --models models --data data
    """
    from atelier_trainer.publishing.pipeline import (
        dismiss_workers,
        train_along,
        train_and_publish,
        up_to_date,
    )
    from atelier_trainer.tracking.tracker import tracker_for
    from atelier_trainer.training.run import Run

    job = job_from(name, set_, seed, deterministic)
    cluster = cluster_of(job)
    if cluster and not cluster.is_chief:
        silence_startup(convolutions=bool(job.network.convolutions))
        print(json.dumps(train_along(job, data_folder, cluster)), flush=True)
        return
    # A tracker that cannot be used is said before the training, and does not stop it.
    tracker = tracker_for(tracking_uri, runs, models)
    result = up_to_date(job, models, follow_newest=follow_newest) if if_needed else None
    if result:
        silence_startup()
        dismiss_workers(cluster)
        # The client reads the data folder, whose files may have been removed since: they are checked and fetched.
        with writing(data_folder):
            job_data.fetch(job, data_folder)
        say(f"{job.model} version {result['version']} is up to date: it was made by this job ({job.name}).")
    else:
        silence_startup(convolutions=bool(job.network.convolutions))
        result = train_and_publish(
            job, models, data_folder, runs, follow_newest=follow_newest, cluster=cluster
        )
        say(f"published {result['path']}")
    print(json.dumps(result), flush=True)
    if result["trained"]:
        tracker.finished([Run(Path(result["run"]))])


@app.command()
def evaluate(
    version: Annotated[Path, typer.Argument(help="A published version's folder, as models/fashion/1.")],
    data_folder: DataFolder = Path("data"),
) -> None:
    """Evaluate a published version on its test examples, in this process.

    Example: atelier-trainer evaluate models/fashion/1
    """
    silence_startup()
    with quick_import():
        from atelier_trainer.data.held_out_file import read_test_file_of
        from atelier_trainer.publishing.exported_model import ExportedModel
    exported = ExportedModel(version)
    with writing(data_folder):
        examples = read_test_file_of(version, data_folder)
    print(json.dumps(exported.evaluate(examples)), flush=True)


def main() -> None:
    """The console script: exit codes as in docs/contracts.md, no stack traces for user mistakes."""
    open_closed_streams()
    interrupt.install()
    try:
        # Outside its standalone mode typer returns the exit code of an interrupt instead of raising it.
        code = app(standalone_mode=False) or 0
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except AtelierTrainerError as error:
        say(f"error: {error}")
        sys.exit(error.exit_code)
    except OSError as error:
        say(f"error: {error}")
        sys.exit(1)
    except Exception as error:
        # Errors in the command line have a `show` method. Any other exception is a defect and keeps its stack trace.
        if not hasattr(error, "show"):
            raise
        error.show()
        sys.exit(2)
    if code == 130:
        say("Interrupted. The same command goes on from here.")
    sys.exit(code)
