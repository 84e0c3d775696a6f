"""atelier-trainer study, compare, save and restore: the commands that work on runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from atelier_trainer.cli.options import DataFolder, Models, Reports, Runs, Set, Tracking
from atelier_trainer.errors import RunError
from atelier_trainer.files import write_durably, writing
from atelier_trainer.printable import say
from atelier_trainer.quiet import quick_import, silence_startup
from atelier_trainer.training import run as run_folders
from atelier_trainer.training.run import Run

app = typer.Typer()


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="A study file, or the name of a shipped study: imdb, fashion.")],
    data_folder: DataFolder = Path("data"),
    runs: Runs = Path("runs"),
    reports: Reports = Path("reports"),
    set_: Set = (),  # type: ignore[assignment]
    models: Models = Path("models"),
    tracking_uri: Tracking = "",
) -> None:
    """Train the jobs of a study and compare them. Finished runs are not trained again.

    Example: atelier-trainer study imdb
    """
    from atelier_trainer.studies.study import jobs_of, run_study
    from atelier_trainer.tracking.tracker import tracker_for

    tracker = tracker_for(tracking_uri, runs, models)
    jobs = jobs_of(name, set_ or ())
    silence_startup(convolutions=all(job.network.convolutions for job in jobs))
    done = run_study(jobs, data_folder, runs)
    _report(done, reports, Path(name).stem)
    tracker.finished(done)


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(metavar="RUN RUN ..", help="Run folders, or job names.")],
    runs: Runs = Path("runs"),
    reports: Reports = Path("reports"),
) -> None:
    """Overlay runs in one picture, and say which overfits, from which epoch, and which is best.

    Example: atelier-trainer compare imdb-baseline imdb-l2 runs/imdb-dropout/1
    """
    _report([run_folders.find(name, runs) for name in names], reports, "runs")


@app.command()
def save(
    run: Annotated[str, typer.Argument(help="A run's folder, or a job: its newest finished run.")],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help="weights, checkpoint (with optimizer), keras, h5 or json (architecture); for other runtimes onnx, "
            "litert.",
        ),
    ],
    to: Annotated[Path, typer.Option("--to", help="The file to write, as model.keras or model.weights.h5.")],
    data_folder: DataFolder = Path("data"),
    runs: Runs = Path("runs"),
) -> None:
    """Save a run's model, with what `restore` needs to prove it whole.

    The formats of other runtimes (extras onnx, litert) are proved at once: there the golden examples come back right.

    Example: atelier-trainer save imdb-l2 --format weights --to saved/imdb.weights.h5
    """
    portable = ("onnx", "litert")
    known = ("weights", "checkpoint", "keras", "h5", "json", *portable)
    if format_ not in known:
        raise RunError(f"--format {format_}: expected one of {', '.join(known)}.")
    found = run_folders.find(run, runs)
    silence_startup()
    if format_ in portable:
        with quick_import():
            from atelier_trainer.portable.save import save as save_portable
        with writing(to.parent):
            difference = save_portable(found, format_, to, data_folder)  # type: ignore[arg-type]
        say(f"saved {to}: the golden examples come back, largest difference {difference:g}")
        answer = {"path": str(to), "format": format_, "run": str(found.folder), "difference": difference}
        print(json.dumps(answer), flush=True)
        return
    with quick_import():
        from atelier_trainer.training import model_files
    with writing(to.parent):
        path = model_files.save(found, format_, to, data_folder)  # type: ignore[arg-type]
    say(f"saved {path}")
    print(json.dumps({"path": str(path), "format": format_, "run": str(found.folder)}), flush=True)


@app.command()
def restore(
    from_: Annotated[Path, typer.Option("--from", help="What `save` wrote.")],
    evaluate: Annotated[
        bool,
        typer.Option("--evaluate", help="Compare its answers to the saved model's, and print the metrics."),
    ] = False,
    data_folder: DataFolder = Path("data"),
) -> None:
    """Restore a saved model; with --evaluate prove that it answers the test examples as before.

    Example: atelier-trainer restore --from saved/imdb.weights.h5 --evaluate
    """
    silence_startup()
    with quick_import():
        from atelier_trainer.metrics.measure import in_words
        from atelier_trainer.training import model_files
    restored = model_files.restore(from_)
    restored.fitted.model.summary(print_fn=say)
    result: dict[str, Any] = {"format": restored.format}
    if evaluate and restored.format == "json":
        say("An architecture has no weights: there are no answers to compare. Its layers are above.")
    elif evaluate:
        result = model_files.check(restored, data_folder)
        say(
            f"{result['examples']:,} predictions, largest difference from the saved ones {result['max_abs_diff']:g}; "
            f"{in_words(result)}"
        )
    print(json.dumps(result), flush=True)
    if result.get("equal") is False:
        raise RunError(f"{from_} does not answer as the model it was saved from.")


def _report(runs: Sequence[Run], reports: Path, title: str) -> None:
    from atelier_trainer.studies.comparison import compare as verdicts_on
    from atelier_trainer.studies.comparison import print_table
    from atelier_trainer.training.history_chart import draw_history

    verdicts = verdicts_on(runs)
    picture = reports / f"compare-{title}.png"
    document = [asdict(verdict) for verdict in verdicts]
    with writing(reports):
        reports.mkdir(parents=True, exist_ok=True)
        draw_history(runs, picture)
        write_durably(picture.with_suffix(".json"), json.dumps(document, indent=1) + "\n")
    print_table(verdicts)
    say(f"drew {picture}")
    print(json.dumps(document), flush=True)
