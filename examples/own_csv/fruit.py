"""Your own data, from a CSV file to answers of a served model.

    make venv                                              # .venv; ENGINE=compose alone needs none
    .venv/bin/python examples/own_csv/fruit.py write       # fruit.csv beside this file: 600 fruits, measured
    make up JOB=examples/own_csv/job.yaml                  # trains, publishes, serves and evaluates
    .venv/bin/python examples/own_csv/fruit.py ask

The job is job.yaml: nothing else says what the columns are. With data of your own, write only the job.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from atelier_client import Client

FILE = Path(__file__).with_name("fruit.csv")
# Mean weight in grams, length in centimetres, sugar in grams a 100 g.
FRUITS = {"apple": (180, 8, 10), "banana": (120, 18, 12), "lemon": (100, 9, 2)}


def write(file: str = str(FILE)) -> None:
    """Write made-up measurements, a row a fruit; the same ones each time."""
    random = np.random.default_rng(0)
    with Path(file).open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["weight", "length", "sugar", "fruit"])
        for _ in range(200):
            for name, means in FRUITS.items():
                rows.writerow([*(f"{value:.1f}" for value in random.normal(means, [15, 1, 1])), name])


def ask(target: str = "127.0.0.1:8500") -> None:
    """Ask about two fruits that are not in the file."""
    with Client(target, "fruit") as client:
        for name in client.metadata()["serving_default"].inputs:
            print(f"The model's input is called {name}.")
        answer = client.predict(np.array([[118, 17.5, 12], [95, 9.2, 2.5]], np.float32))
    print(*(label.decode() for label in answer["label"]))


if __name__ == "__main__":
    {"write": write, "ask": ask}[sys.argv[1]](*sys.argv[2:])
