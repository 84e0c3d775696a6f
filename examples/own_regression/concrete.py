"""Your own table with a number to be predicted, from a CSV file to answers of a served model.

    make venv                                                     # .venv; ENGINE=compose alone needs none
    .venv/bin/python examples/own_regression/concrete.py write    # concrete.csv beside this file: 600 samples
    make up JOB=examples/own_regression/job.yaml                  # trains, publishes, serves and evaluates
    .venv/bin/python examples/own_regression/concrete.py ask

The job is job.yaml, whose `task: regression` says that the label is a number. The report has the errors in the label's
own unit, here megapascals.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from atelier_client import Client

FILE = Path(__file__).with_name("concrete.csv")
CURING = {"wet": 6.0, "dry": -4.0}


def write(file: str = str(FILE)) -> None:
    """Write made-up measurements, a row a sample; the same ones each time."""
    random = np.random.default_rng(0)
    with Path(file).open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["cement", "water", "days", "curing", "strength"])
        for _ in range(600):
            cement, water = random.uniform(200, 500), random.uniform(140, 220)
            days = int(random.integers(3, 91))
            curing = str(random.choice(list(CURING)))
            strength = 12 * np.log(days) + 25 * (cement / water - 1) + CURING[curing] + random.normal(0, 2)
            rows.writerow([f"{cement:.0f}", f"{water:.0f}", days, curing, f"{strength:.1f}"])


def ask(target: str = "127.0.0.1:8500") -> None:
    """Ask about two samples that are not in the file."""
    with Client(target, "concrete") as client:
        answer = client.predict(
            {
                "cement": np.array([300, 450], np.float32),
                "water": np.array([180, 180], np.float32),
                "days": np.array([28, 28], np.float32),
                "curing": np.array([b"wet", b"wet"], object),
            }
        )
    print(*(f"{value:.1f} MPa" for value in answer["prediction"]))


if __name__ == "__main__":
    {"write": write, "ask": ask}[sys.argv[1]](*sys.argv[2:])
