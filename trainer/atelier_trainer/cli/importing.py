"""atelier-trainer import: publish a model that somebody already has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from atelier_trainer.cli.options import DataFolder, Models
from atelier_trainer.errors import ImportRefused
from atelier_trainer.printable import say
from atelier_trainer.quiet import silence_startup

app = typer.Typer()


@app.command("import")
def import_(
    model: Annotated[Path, typer.Argument(help="A SavedModel folder, a .keras file or an .h5 file.")],
    name: Annotated[str, typer.Option("--name", help="The name it is published and served under.")],
    examples: Annotated[
        Path | None,
        typer.Option(
            "--examples",
            help="Examples, with labels if there are any: .csv, .npz, or a folder with a folder of pictures a class.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="The classes in the output's order: one a line, or a JSON list."),
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            "--label-column",
            help="The examples' column (or array) of the label; several of a CSV with commas between.",
        ),
    ] = None,
    output: Annotated[str | None, typer.Option("--output", help="The output that is measured.")] = None,
    signature: Annotated[
        str | None,
        typer.Option("--signature", help="The signature that is measured (default: serving_default)."),
    ] = None,
    task: Annotated[
        Literal["classification", "regression", "multi_label"] | None,
        typer.Option("--task", help="What the output is (default: told by labels and output)."),
    ] = None,
    models: Models = Path("models"),
    data_folder: DataFolder = Path("data"),
    if_needed: Annotated[
        bool, typer.Option("--if-needed", help="Do nothing when this very import made the newest version.")
    ] = False,
    follow_newest: Annotated[
        bool,
        typer.Option("--follow-newest", help="List a new model so that servers take every new version."),
    ] = False,
) -> None:
    """Publish a model that exists already as the next version. No code of the model is run.

    Example: atelier-trainer import old.h5 --name iris --examples iris.csv --labels classes.txt
    """
    from atelier_trainer.importing.pipeline import Import, import_and_publish, up_to_date

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise ImportRefused(
            f"--name {name!r}: expected a letter or digit, then letters, digits, _ . or - (it names a folder)."
        )
    asked = Import(model, name, examples, labels, label_column, output, signature, task)
    result = up_to_date(asked, models, data_folder, follow_newest=follow_newest) if if_needed else None
    if result:
        say(f"{name} version {result['version']} is up to date: it was imported from this model ({model}).")
    else:
        silence_startup()
        result = import_and_publish(asked, models, data_folder, follow_newest=follow_newest)
        say(f"published {result['path']}")
    print(json.dumps(result), flush=True)
