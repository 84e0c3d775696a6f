"""reference.json: what it holds of pictures, texts and tables, and how large it may become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_trainer.data.columns import Column, rows_of
from atelier_trainer.data.dataset import DataSet, Examples
from atelier_trainer.reference.calibration import calibration
from atelier_trainer.reference.document import reference, write_reference
from sklearn.isotonic import IsotonicRegression

from tests.support.trainer_command import trainer

RANDOM = np.random.default_rng(0)


def data_set(
    kind: str, inputs: np.ndarray, names: tuple[str, ...] = ("no", "yes"), **more: object
) -> DataSet:
    labels = np.arange(len(inputs)) % len(names)
    examples = Examples(inputs, labels, "")
    return DataSet("toy", kind, names, inputs.shape[1:], examples, examples, {}, **more)  # type: ignore[arg-type]


def described(data: DataSet, **more: object) -> dict[str, Any]:
    probabilities = RANDOM.dirichlet(np.ones(len(data.class_names)), len(data.test)).astype(np.float32)
    return reference(data, probabilities, model="toy", run_id=None, **more)  # type: ignore[arg-type]


def columns_of(document: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {(column["group"], column["name"]): column for column in document["columns"]}


def test_pictures_on_a_light_ground_are_not_inverted() -> None:
    pictures = np.full([40, 6, 5, 3], 250, np.uint8)
    pictures[:, 2:4, 2:3] = 10
    pictures[0] = 255 - pictures[0]
    document = described(data_set("image", pictures))
    assert document["background"] == "light"
    columns = columns_of(document)
    assert columns["picture", "inverted"]["true"] == 1
    # Two of thirty pixels are dark.
    assert columns["picture", "ink area"]["mean"] == pytest.approx(2 / 30)
    gray = pictures.mean(axis=3) / 255
    assert columns["picture", "mean"]["mean"] == pytest.approx(gray.mean())
    assert columns["picture", "contrast"]["mean"] == pytest.approx(gray.std(axis=(1, 2)).mean())


def test_texts_are_measured_by_the_words_that_the_network_gets() -> None:
    texts = np.array([b"Fine, FINE film!<br />Isn't it?", b"", b"dull film"], object)
    document = described(data_set("text", texts), words=[b"film", b"fine"])
    columns = columns_of(document)
    assert document["vocabulary"] == ["film", "fine"]
    # Five words, none, two: of these two, none and one are not known.
    assert columns["text", "words"]["edges"] == [0, 2, 5]
    assert columns["text", "unknown words"]["mean"] == pytest.approx((2 / 5 + 0 + 1 / 2) / 3)


def test_categories_and_missing_values_are_counted() -> None:
    features = [Column("age", "number"), Column("city", "category")]
    rows = rows_of(
        features,
        np.array([[1.0], [np.nan], [3.0], [3.0]]),
        np.array([["Bern"], ["Ulm"], [""], ["Bern"]], object),
    )
    columns = columns_of(
        described(data_set("table", rows, columns=("age", "city"), features=tuple(features)))
    )
    assert columns["input", "age"]["edges"] == [1, 3]
    assert columns["input", "age"]["counts"] == [1, 2, 0]
    assert columns["input", "age (missing)"]["true"] == 1
    city = columns["input", "city"]
    assert (city["categories"], city["counts"], city["other"], city["missing"]) == (
        ["Bern", "Ulm"],
        [2, 1],
        0,
        1,
    )


def test_the_file_is_bounded_whatever_the_data_are(tmp_path: Path) -> None:
    names = tuple(f"class {number}" for number in range(1000))
    wide = described(
        data_set("table", RANDOM.normal(size=(3000, 700)), names, columns=tuple(map(str, range(700))))
    )
    assert wide["left_out"] == 200
    assert len(wide["columns"]) == 502
    features = tuple(Column(f"c{number}", "category") for number in range(600))
    texts = np.array([f"{number:x}" * 25 for number in range(3000)], object)
    many = np.stack([np.roll(texts, place) for place in range(600)], axis=1)
    rows = rows_of(features, np.empty([3000, 0]), many)
    hostile = described(data_set("table", rows, columns=(), features=features))
    words = [f"{number:020d}".encode() for number in range(80_000)]
    wordy = described(data_set("text", np.array([b"a"] * 10, object)), words=words)
    assert len(wordy["vocabulary"]) == 50_000
    for document in (wide, hostile, wordy):
        write_reference(tmp_path / "reference.json", document)
        assert (tmp_path / "reference.json").stat().st_size < 4_000_000


def test_the_calibration_is_the_isotonic_regression_of_its_bins() -> None:
    confidence = RANDOM.uniform(0.5, 1.0, 3000)
    probabilities = np.column_stack([confidence, 1 - confidence]).astype(np.float32)
    labels = (RANDOM.uniform(size=3000) > confidence**3).astype(np.int64)
    found = calibration(probabilities, labels)
    assert sum(found["counts"]) == 3000
    assert 15 <= len(found["counts"]) <= 20
    place = np.searchsorted(found["confidence"], probabilities[:, 0].astype(np.float64))
    assert len(np.unique(place)) > 15
    raw: list[float] = []
    order = np.argsort(probabilities[:, 0], kind="stable")
    for rows in np.split(order, np.cumsum(found["counts"][:-1]).astype(int)):
        assert np.mean(probabilities[rows, 0].astype(np.float64)) == pytest.approx(
            found["confidence"][len(raw)], rel=1e-12
        )
        raw.append(float(np.mean(labels[rows] == 0)))
    judge = IsotonicRegression().fit_transform(found["confidence"], raw, sample_weight=found["counts"])
    assert found["accuracy"] == pytest.approx(judge, rel=1e-12)


def test_streamed_training_has_a_reference_too(tmp_path: Path) -> None:
    rows = "".join(f"{row % 7},{row % 5},{row % 2}\n" for row in range(60))
    (tmp_path / "a.csv").write_text("a,b,label\n" + rows)
    (tmp_path / "job.json").write_text(
        json.dumps(
            {
                "name": "tiny",
                "model": "tiny",
                "data": {"csv": "a.csv", "test": "a.csv", "stream": True},
                "network": {"hidden": [2]},
                "fit": {"batch_size": 8, "epochs": 1},
            }
        )
    )
    places = ["--models", tmp_path / "models", "--data", tmp_path / "data"]
    done = trainer("train", tmp_path / "job.json", *places)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "models" / "tiny" / "1" / "assets.extra"
    document = json.loads((folder / "reference.json").read_text())
    card = json.loads((folder / "model_card.json").read_text())
    assert (document["model"], document["run_id"]) == ("tiny", card["run_id"])
    assert document["class_names"] == card["class_names"]
    assert "assets.extra/reference.json" in card["files"]
    assert document["labels"] == [30, 30]
    assert columns_of(document)["input", "a"]["edges"] == [0, 1, 2, 3, 4, 5, 6]
