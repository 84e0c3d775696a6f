"""atelier-trainer data: fetch the known data sets, convert between IDX and CSV, draw examples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from atelier_trainer.cli import conversion, preview
from atelier_trainer.cli.options import DataFolder, Reports, job_from
from atelier_trainer.data import job_data
from atelier_trainer.files import writing
from atelier_trainer.printable import printable, say

app = typer.Typer(help="The data sets the jobs train on.", no_args_is_help=True)

Known = Literal["fashion-mnist", "imdb"]


@app.command()
def fetch(
    name: Annotated[Known, typer.Argument(help="The data set.")], data_folder: DataFolder = Path("data")
) -> None:
    """Fetch a data set into the cache, checking every file.

    Example: atelier-trainer data fetch fashion-mnist --data data
    """
    with writing(data_folder):
        folder = job_data.fetch_named(name, data_folder)
    say(f"{name} is complete in {folder}")


@app.command()
def csv(
    source: Annotated[Path, typer.Argument(help="A folder of IDX files (MNIST's names), or a CSV file.")],
    to: Annotated[Path, typer.Option("--to", help="The folder that gets CSV files, or IDX files.")],
    split: Annotated[Literal["train", "test"], typer.Option(help="Which IDX files a CSV becomes.")] = "train",
    shape: Annotated[str, typer.Option(help="Height x width of the images in a CSV.")] = "28x28",
) -> None:
    """Convert IDX to the tutorial's CSV (label,pixel1..pixel784), or such a CSV back to IDX, losslessly.

    Example: atelier-trainer data csv data/fashion-mnist --to csv; atelier-trainer data csv csv/train.csv --to idx
    """
    with writing(to):
        written = (
            conversion.idx_to_csv(source, to)
            if source.is_dir()
            else conversion.csv_to_idx(source, to, split, conversion.parse_shape(shape))
        )
    say("wrote " + ", ".join(str(path) for path in written))


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="job", help="fashion-mnist, or a job with images or any other data.")
    ],
    data_folder: DataFolder = Path("data"),
    reports: Reports = Path("reports"),
) -> None:
    """Draw the first 25 training images with their class names; of text and tables print the first five.

    Example: atelier-trainer data show fashion-mnist
    """
    jobs = {"fashion-mnist": "fashion-dense", "imdb": "imdb-baseline"}
    job = job_from(jobs.get(name, name), (), None, False)
    with writing(data_folder):
        data_set = job_data.load(job, data_folder)
    if data_set.kind == "image":
        path = reports / f"{data_set.name}-examples.png"
        with writing(reports):
            reports.mkdir(parents=True, exist_ok=True)
            preview.draw_images(data_set, path)
        say(f"drew {path}")
    else:
        for row in preview.rows(data_set, 5):
            print(printable(row))
