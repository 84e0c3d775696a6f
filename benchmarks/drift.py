"""Whether `atelier-client drift` finds what has changed, and is silent when nothing has: on Fashion-MNIST."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from atelier_client import Client
from atelier_client._model_card import read_card
from atelier_client.drift.cause import likely_causes
from atelier_client.drift.estimate import Confidences
from atelier_client.drift.inputs import Pictures, Values
from atelier_client.drift.outputs import answers_of
from atelier_client.drift.reference import read_reference
from atelier_client.drift.verdict import Compared, compare, overall
from numpy.typing import NDArray
from PIL import Image

from benchmarks.row import BIN, ROOT, Row, timed
from benchmarks.server import running_server

WINDOW = 1000
UNCHANGED = 1000
CHANGED = 100
_SHIFTED = 50
_POOL = 10_000
NOTE = (
    "`fashion-dense`. The 70,000 images in one random order: 50,000 to train on, 10,000 to test on, which make the "
    "reference, and 10,000 that the model has not seen, from which the windows are drawn with replacement. A covariate "
    "shift draws each picture with the weight exp(k z), where z is its brightness, contrast or ink area in standard "
    "deviations: with k = 1 the mean moves by about one of them. The error is the mean over 50 windows, so that the "
    "chance in the accuracy of one of them, which has a standard deviation of 1 point, is none of it."
)
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Pool:
    """Pictures that were not seen before, as one version answers them."""

    values: Values
    probabilities: NDArray[np.float32]
    right: NDArray[np.bool_]


class Bench:
    """A served model, its reference, and the examples that neither has seen."""

    def __init__(self, client: Client, version: Path, images: Pixels, labels: NDArray[np.int64]) -> None:
        card = read_card(version)
        reference = read_reference(version, card) if card else None
        if reference is None:
            raise RuntimeError(f"{version} has no reference")
        self._client = client
        self.reference = reference
        # A reference of a classifier has one.
        assert reference.calibration is not None
        self.calibration = reference.calibration
        self.images, self.labels = images, labels
        self.random = np.random.default_rng(0)

    def pool(self, change: Callable[[Pixels], Pixels]) -> Pool:
        """The examples, changed, and the model's answers."""
        images = change(self.images)
        schema = self.reference.schema
        answers = answers_of(self._client.predict(images), schema)
        assert answers.probabilities is not None
        right = answers.probabilities.argmax(axis=1) == self.labels
        return Pool(answers.values | Pictures(images).features(schema), answers.probabilities, right)

    def window(self, pool: Pool, weights: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
        """The places of a window's examples."""
        return self.random.choice(
            len(pool.right), WINDOW, p=None if weights is None else weights / weights.sum()
        )

    def judge(self, pool: Pool, rows: NDArray[np.int64]) -> list[Compared]:
        """A window against the reference, as the command compares it."""
        columns = self.reference.columns
        now = [column.count(pool.values[column.key][rows]) for column in columns]
        return compare(columns, self.reference.counts, now, outputs_alone=True)

    def estimate(self, pool: Pool, rows: NDArray[np.int64]) -> tuple[float, bool]:
        """The error of the estimated accuracy, and whether the real one is in its band."""
        answers = Confidences()
        self.calibration.add(answers, pool.probabilities[rows])
        value, (low, high) = self.calibration.estimate(answers)
        real = float(pool.right[rows].mean())
        return value - real, low <= real <= high


def measure() -> Iterator[Row]:
    """Every row, as it is measured."""
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as name:
        folder = Path(name)
        images, labels = _trained(folder)
        with (
            running_server(
                folder / "models", f"--model_config_file={folder / 'models' / 'models.config'}"
            ) as server,
            Client(server.grpc, "fashion") as client,
        ):
            bench = Bench(client, folder / "models" / "fashion" / "1", images, labels)
            pool = bench.pool(lambda pixels: pixels)
            yield false_alarms(bench, pool)
            yield found(bench, pool)
            yield covariate_shift(bench, pool)
            yield confident_errors(bench)


def false_alarms(bench: Bench, pool: Pool) -> Row:
    """Windows that have not changed."""
    verdicts = [overall(bench.judge(pool, bench.window(pool))) for _ in range(UNCHANGED)]
    changed, few = verdicts.count("changed"), verdicts.count("too few")
    return Row(
        f"{UNCHANGED:,} unchanged windows of {WINDOW:,}: called changed; too few",
        f"{changed}; {few}",
        "at most 1 % changed",
        changed <= UNCHANGED / 100,
    )


def found(bench: Bench, unchanged: Pool) -> Row:
    """Windows of each known change that are called changed, and the causes of the last one."""
    shares, causes = {}, {}
    for name, change in changes(bench.random).items():
        pool = bench.pool(change)
        judged = [bench.judge(pool, bench.window(pool)) for _ in range(CHANGED)]
        shares[name] = sum(overall(one) == "changed" for one in judged) / CHANGED
        causes[name] = likely_causes(judged[-1])[0]
    missing = []
    for number in range(len(bench.reference.schema.class_names or ())):
        weights = (bench.labels != number).astype(np.float64)
        judged = [bench.judge(unchanged, bench.window(unchanged, weights)) for _ in range(CHANGED)]
        missing.append(sum(overall(one) == "changed" for one in judged) / CHANGED)
    text = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return Row(
        f"{CHANGED} windows of {WINDOW:,} of each change: found. One class missing: the mean of the ten classes, the "
        "hardest. What is said of the inverted ones",
        f"{text}. {np.mean(missing):.1%}, {min(missing):.0%}. {causes['inverted'].partition(':')[0]}",
        "each is found",
        min([*shares.values(), float(np.mean(missing))]) >= 0.95
        and causes["inverted"].startswith("share inverted"),
    )


def covariate_shift(bench: Bench, pool: Pool) -> Row:
    """The estimated accuracy where other examples are asked, which are answered as before."""
    errors, inside, windows = {}, 0, 0
    for name in ("mean", "contrast", "ink area"):
        values = pool.values["picture", name]
        scores = (values - values.mean()) / values.std()
        for strength in (-1.0, -0.5, 0.5, 1.0):
            weights = np.exp(strength * scores)
            measured = [bench.estimate(pool, bench.window(pool, weights)) for _ in range(_SHIFTED)]
            errors[f"{name} {strength:+g}"] = float(np.mean([error for error, _ in measured]))
            inside += sum(within for _, within in measured)
            windows += len(measured)
    unshifted = bench.estimate(pool, np.arange(len(pool.right)))[0]
    worst = max(errors, key=lambda one: abs(errors[one]))
    mean = float(np.mean(np.abs(list(errors.values()))))
    return Row(
        "Accuracy without labels under 12 covariate shifts: mean error; the largest, and where; windows whose accuracy "
        "is in the band. Without a shift: the error",
        f"{100 * mean:.1f} points; {100 * errors[worst]:+.1f} ({worst}); {inside / windows:.0%}. "
        f"{100 * unshifted:+.1f}",
        "within 2 points",
        abs(errors[worst]) <= 0.02,
    )


def confident_errors(bench: Bench) -> Row:
    """The estimated accuracy where the pictures themselves are changed: a confidence no longer means what it meant."""
    parts = []
    for name, change in changes(bench.random).items():
        pool = bench.pool(change)
        answers = Confidences()
        bench.calibration.add(answers, pool.probabilities)
        estimated, _ = bench.calibration.estimate(answers)
        parts.append(f"{name} {estimated:.0%} ({pool.right.mean():.0%})")
    return Row(
        "Where the estimate fails: estimated (and real) accuracy of pictures that are changed themselves, all of which "
        "are called changed",
        ", ".join(parts),
        "stated",
        None,
    )


def changes(random: np.random.Generator) -> dict[str, Callable[[Pixels], Pixels]]:
    """What can happen to a camera."""

    def turned(pixels: Pixels) -> Pixels:
        return np.stack([np.asarray(Image.fromarray(picture).rotate(30)) for picture in pixels])

    def noisy(pixels: Pixels) -> Pixels:
        return np.clip(pixels + random.normal(0, 40, pixels.shape), 0, 255).astype(np.uint8)

    return {
        "inverted": lambda pixels: 255 - pixels,
        "rotated by 30 degrees": turned,
        "noise": noisy,
        "brighter by 40": lambda pixels: np.clip(pixels.astype(np.int64) + 40, 0, 255).astype(np.uint8),
        "darker by 30 %": lambda pixels: (pixels * 0.7).astype(np.uint8),
    }


def _trained(folder: Path) -> tuple[Pixels, NDArray[np.int64]]:
    """Publish the model; return the examples that it was neither trained nor tested on."""
    timed([BIN / "atelier-trainer", "data", "fetch", "fashion-mnist", "--data", folder / "data"])
    source = folder / "data" / "fashion-mnist"
    arrays = {}
    for side, name in (("train", "train"), ("test", "t10k")):
        arrays[f"x_{side}"] = np.fromfile(source / f"{name}-images-idx3-ubyte", np.uint8, offset=16).reshape(
            -1, 28, 28
        )
        arrays[f"y_{side}"] = np.fromfile(source / f"{name}-labels-idx1-ubyte", np.uint8, offset=8)
    images, labels = (
        np.concatenate([arrays[f"{name}_{side}"] for side in ("train", "test")]) for name in "xy"
    )
    # The two splits of the data set differ: a model is better on held-out training images than on the test images.
    order = np.random.default_rng(0).permutation(len(labels))
    seen, test, unseen = np.split(order, [len(order) - 2 * _POOL, len(order) - _POOL])
    parts = {"x_train": images[seen], "y_train": labels[seen], "x_test": images[test], "y_test": labels[test]}
    np.savez(folder / "fashion.npz", allow_pickle=False, **parts)
    job = yaml.safe_load((ROOT / "trainer" / "jobs" / "fashion-dense.yaml").read_text(encoding="utf-8"))
    (folder / "job.json").write_text(json.dumps({**job, "data": {"npz": "fashion.npz"}}))
    places = ["--models", folder / "models", "--data", folder / "data", "--runs", folder / "runs"]
    timed([BIN / "atelier-trainer", "train", folder / "job.json", *places])
    return images[unseen], labels[unseen].astype(np.int64)
