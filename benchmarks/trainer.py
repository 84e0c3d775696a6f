"""The trainer against the tutorial's own script, and what its jobs reach."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.row import BIN, Ended, Row, run

NOTE = (
    "The script is `benchmarks/tutorial_script.py`: `pandas.read_csv`, batches of 32, 10 epochs, evaluate; its time is "
    "from process start to process end, the trainer's from process start to the rename that publishes the version. To "
    "0.88 the script may take more than its 10 epochs, and measures the test accuracy after each. Both read the same "
    "images."
)
TRAIN = BIN / "atelier-trainer"
SEEDS = (1, 2, 3)
MOST_EPOCHS = 40
WANTED = 0.88


def measure() -> Iterator[Row]:
    """Every row, as it is measured."""
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        bench = Bench(Path(folder))
        scripts = [bench.script(seed, 10) for seed in SEEDS]
        trained = [bench.train("fashion-dense", "--seed", seed) for seed in SEEDS]
        yield speed(scripts, trained)
        yield gains(bench)
        yield time_to_accuracy(bench, trained)
        yield loading(bench)
        yield memory(scripts, trained)
        yield preset(bench, "fashion-cnn", 0.925, 3.5)
        yield preset(bench, "fashion-residual", 0.935, 10)
        yield study(bench)


@dataclass(frozen=True)
class Result:
    """One training: seconds until the model was there, test accuracy, seconds of single stages, peak memory in MB."""

    seconds: float
    accuracy: float
    stages: dict[str, float]
    peak_mb: float


class Bench:
    """The data, in both forms, and the two commands."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.csv = folder, folder / "csv"
        run([TRAIN, "data", "fetch", "fashion-mnist", "--data", folder / "data"])
        run([TRAIN, "data", "csv", folder / "data" / "fashion-mnist", "--to", self.csv])

    def script(self, seed: int, epochs: int, until: float | None = None) -> Result:
        """The tutorial's script; with `until` it ends when that test accuracy is reached."""
        arguments = [self.csv / "train.csv", self.csv / "test.csv", seed, epochs, *([until] if until else [])]
        ended = run([sys.executable, "-m", "benchmarks.tutorial_script", *arguments])
        printed = json.loads(ended.stdout)
        return Result(ended.seconds, printed["accuracy"], {"data": printed["loading"]}, ended.peak_mb)

    def train(self, job: str, *options: Any) -> Result:
        """`atelier-trainer train`, until the version has its name."""
        ended = self.trainer("train", job, *options, "--models", self.folder / "models")
        printed = json.loads(ended.stdout.splitlines()[-1])
        # A folder's rename changes its status time, and nothing after it does.
        published = Path(printed["path"]).stat().st_ctime - ended.started
        return Result(published, printed["metrics"]["accuracy"], printed["seconds"], ended.peak_mb)

    def trainer(self, *arguments: Any) -> Ended:
        """Any command of the trainer that trains."""
        return run([TRAIN, *arguments, "--data", self.folder / "data", "--runs", self.folder / "runs"])


def speed(scripts: list[Result], trained: list[Result]) -> Row:
    """From process start to the model: medians of 3; accuracies: means of 3."""
    ratio = _seconds(scripts) / _seconds(trained)
    theirs, ours = _accuracy(scripts), _accuracy(trained)
    return Row(
        "The tutorial's script; `atelier-trainer train fashion-dense` to the published model; ratio. "
        "Test accuracy of each (mean of 3 seeds)",
        f"{_seconds(scripts):.1f} s; {_seconds(trained):.1f} s; {ratio:.1f} times. {theirs:.4f}; {ours:.4f}",
        "at least 5 times faster, accuracy no lower by more than 0.003",
        ratio >= 5 and ours >= theirs - 0.003,
    )


def gains(bench: Bench) -> Row:
    """The fitting alone, one measure after the other; each the median of 3."""
    tutorial = [
        "fit.epochs=10",
        "fit.batch_size=32",
        "optimizer.learning_rate=0.001",
        "optimizer.schedule=constant",
    ]
    steps = {
        "batch 32, one step a call": [*tutorial, "fit.steps_per_execution=1"],
        "64 steps a call": tutorial,
        "batch 512": ["fit.epochs=10"],
        "XLA on top": ["fit.epochs=10", "fit.jit_compile=true"],
    }
    seconds = {}
    for name, settings in steps.items():
        options = [part for setting in settings for part in ("--set", setting)]
        runs = [bench.train("fashion-dense", "--seed", seed, *options) for seed in SEEDS]
        seconds[name] = statistics.median(result.stages["fit"] for result in runs)
    return Row(
        "Ten epochs of fitting, measure by measure",
        "; ".join(f"{name}: {value:.1f} s" for name, value in seconds.items()),
        "stated",
        None,
    )


def time_to_accuracy(bench: Bench, trained: list[Result]) -> Row:
    """From process start to 0.88: the script ends with the epoch that reaches it, the trainer publishes."""
    scripts = [bench.script(seed, MOST_EPOCHS, until=WANTED) for seed in SEEDS]
    ratio = _seconds(scripts) / _seconds(trained)
    reached = all(result.accuracy >= WANTED for result in (*scripts, *trained))
    return Row(
        "Time to 0.88 test accuracy: the script; the trainer; ratio",
        f"{_seconds(scripts):.1f} s; {_seconds(trained):.1f} s; {ratio:.1f} times"
        + ("" if reached else " (0.88 was not reached by all)"),
        "at least 6 times faster",
        ratio >= 6 and all(result.accuracy >= WANTED for result in trained),
    )


def loading(bench: Bench) -> Row:
    """The 60,000 training images and labels into memory, in a fresh process each; medians of 5."""
    clock = "import sys, time, numpy as np; started = time.perf_counter(); {}; print(time.perf_counter() - started)"
    pandas = f"import pandas as pd; {clock.format('pd.read_csv(sys.argv[1])')}"
    ours = (
        "from pathlib import Path; from atelier_trainer.data.fashion_mnist import read_split; "
        + clock.format("split = read_split(Path(sys.argv[1]), 'train'); images = np.array(split.inputs)")
    )
    seconds = [
        statistics.median(float(run([sys.executable, "-c", code, path]).stdout) for _ in range(5))
        for code, path in ((pandas, bench.csv / "train.csv"), (ours, bench.folder / "data" / "fashion-mnist"))
    ]
    return Row(
        "Loading the 60,000 training images: `pandas.read_csv`; the trainer, digest included; ratio",
        f"{seconds[0]:.2f} s; {seconds[1]:.3f} s; {seconds[0] / seconds[1]:.0f} times",
        "at least 10 times faster",
        seconds[0] / seconds[1] >= 10,
    )


def memory(scripts: list[Result], trained: list[Result]) -> Row:
    """Peak resident memory of the whole process; medians of 3."""
    theirs, ours = (statistics.median(result.peak_mb for result in side) for side in (scripts, trained))
    return Row(
        "Peak memory: the script; the trainer",
        f"{theirs:,.0f} MB; {ours:,.0f} MB",
        "under half",
        ours < theirs / 2,
    )


def preset(bench: Bench, job: str, wanted: float, minutes: float) -> Row:
    """A convolutional preset: mean test accuracy and median time of the seeds. It takes minutes a seed."""
    results = [bench.train(job, "--seed", seed) for seed in SEEDS]
    each = ", ".join(f"{result.accuracy:.4f}" for result in results)
    return Row(
        f"`{job}`: test accuracy, mean of {len(SEEDS)} seeds; each; from process start to the published model",
        f"{_accuracy(results):.4f}; {each}; {_seconds(results) / 60:.1f} min",
        f"{wanted} within {minutes:g} minutes on 2 cores",
        _accuracy(results) >= wanted and _seconds(results) <= 60 * minutes,
    )


def study(bench: Bench) -> Row:
    """The tutorial's comparison, in one command."""
    ended = bench.trainer("study", "imdb", "--reports", bench.folder / "reports")
    verdicts = {item["run"].split("/")[0]: item for item in json.loads(ended.stdout.splitlines()[-1])}
    best = max(("imdb-l2", "imdb-dropout"), key=lambda name: verdicts[name]["test_accuracy"])
    accuracy, since = verdicts[best]["test_accuracy"], verdicts["imdb-baseline"]["overfits_from"]
    return Row(
        "`atelier-trainer study imdb`, five trainings: time; the better of l2 and dropout on the 25,000 test reviews; "
        "the baseline overfits",
        f"{ended.seconds / 60:.1f} min; {best} {accuracy:.4f}; {f'from epoch {since}' if since else 'no'}",
        "0.87 or better; the baseline overfits",
        accuracy >= 0.87 and since is not None,
    )


def _seconds(results: list[Result]) -> float:
    return statistics.median(result.seconds for result in results)


def _accuracy(results: list[Result]) -> float:
    return statistics.mean(result.accuracy for result in results)
