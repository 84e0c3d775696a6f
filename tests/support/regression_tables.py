"""Two real tables with a number to be predicted, which scikit-learn ships: as CSV files, and the jobs for them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

DIABETES = "diabetes"
LINNERUD = "linnerud"
LABELS = {DIABETES: "progression", LINNERUD: "weight"}


def table(name: str) -> tuple[list[str], NDArray[Any], NDArray[Any]]:
    """Names of the inputs, rows float64 [N,columns] and labels float64 [N], in the units of the source."""
    from sklearn import datasets

    if name == DIABETES:
        data = datasets.load_diabetes(scaled=False)
        return list(data.feature_names), data.data, data.target
    data = datasets.load_linnerud()
    # Of its three targets the first: the weight in pounds.
    return [name.lower() for name in data.feature_names], data.data, data.target[:, 0]


def write(name: str, folder: Path) -> Path:
    """`NAME.csv` in the folder, every number with all of its digits."""
    columns, rows, labels = table(name)
    path = folder / f"{name}.csv"
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow([*columns, LABELS[name]])
        writer.writerows(
            [*map(repr, row), repr(label)] for row, label in zip(rows.tolist(), labels.tolist(), strict=True)
        )
    return path


def job(name: str, **fit: Any) -> dict[str, Any]:
    """The document of a job that trains on the table in a second or two."""
    return {
        "name": name,
        "model": name,
        "task": "regression",
        "data": {"csv": f"{name}.csv", "label": LABELS[name]},
        "network": {"hidden": [16]},
        "optimizer": {"learning_rate": 0.01},
        "fit": {"batch_size": 32, "epochs": 15, "seed": 1, **fit},
    }


def publish(name: str, folder: Path, **fit: Any) -> Path:
    """Train on the table and publish under `folder/models`, beside `folder/data` and `folder/runs`."""
    from atelier_trainer.job import Job
    from atelier_trainer.publishing.pipeline import train_and_publish

    write(name, folder)
    trained = train_and_publish(
        Job.from_document(job(name, **fit), folder), folder / "models", folder / "data", folder / "runs"
    )
    return Path(trained["path"])
