"""Data that are not what the job says: an error or a warning that names the cause, before anything is trained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from atelier_trainer.data import job_data
from atelier_trainer.data.dataset import DataSet
from atelier_trainer.errors import DataInvalid
from atelier_trainer.job import Job

ROWS = 60


def load(folder: Path, **data: Any) -> DataSet:
    document = {
        "name": "a",
        "model": "a",
        "data": data,
        "network": {"hidden": [4]},
        "fit": {"batch_size": 2, "epochs": 1},
    }
    return job_data.load(Job.from_document(document, folder), folder / "cache")


def table(folder: Path, values: Any, labels: Any = None, **data: Any) -> DataSet:
    """A column `v` of the values, written as Python does, beside a column of noise."""
    noise = np.random.default_rng(1).normal(size=len(values))
    labels = [index % 2 for index in range(len(values))] if labels is None else labels
    rows = "".join(
        f"{value!r},{other},{label}\n" for value, other, label in zip(values, noise, labels, strict=True)
    )
    (folder / "a.csv").write_text(f"v,noise,label\n{rows}")
    (folder / "test.csv").write_text(f"v,noise,label\n{''.join(rows.splitlines(keepends=True)[:5])}")
    return load(folder, csv="a.csv", **data)


STREAMS = pytest.mark.parametrize(
    "more", [{}, {"stream": True, "test": "test.csv"}], ids=["memory", "stream"]
)
SHUFFLED = np.random.default_rng(2).permutation(ROWS).tolist()


@STREAMS
@pytest.mark.parametrize("start", [1_700_000_000, 1_700_000_000_000, 9_007_199_254_740_900, 1e9 + 0.5])
def test_numbers_that_float32_makes_equal_are_refused(tmp_path: Path, start: float, more: Any) -> None:
    with pytest.raises(DataInvalid, match=r"column 'v' has values such as .* float32 rounds.*ignore"):
        table(tmp_path, [start + number for number in SHUFFLED], **more)


@STREAMS
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([7] * ROWS, "same value in every row says nothing: column v"),
        (list(range(ROWS)), "column v counts the rows"),
        (list(range(100, 100 + ROWS)), "column v counts the rows"),
        ([number * 1_000_003 for number in SHUFFLED], "column v has whole numbers up to"),
    ],
)
def test_suspicious_columns_are_warnings(tmp_path: Path, values: list[int], said: str, more: Any) -> None:
    assert [warning for warning in table(tmp_path, values, **more).warnings if said in warning]


def test_ordinary_columns_are_none(tmp_path: Path) -> None:
    values = np.random.default_rng(3).normal(1e6, 1e3, ROWS).tolist()
    assert table(tmp_path, values, test_split=0.25).warnings == ()


def test_a_column_that_tells_the_label_is_a_warning(tmp_path: Path) -> None:
    labels = [int(item) for item in np.random.default_rng(4).integers(0, 3, ROWS)]
    told = table(tmp_path, [label * 10 + 5 for label in labels], labels).warnings
    assert any("column v tells the label" in warning for warning in told)
    told = table(
        tmp_path, [label if row % 5 else 2 - label for row, label in enumerate(labels)], labels
    ).warnings
    assert not any("tells" in warning for warning in told)


@STREAMS
def test_a_quantity_is_no_label(tmp_path: Path, more: Any) -> None:
    labels = [round(float(value), 1) for value in np.random.default_rng(5).uniform(0, 6, 300)]
    with pytest.raises(DataInvalid, match=r"column label: \d+ different numbers in 300 rows are no classes"):
        table(tmp_path, list(labels), labels, **more)


@pytest.mark.parametrize("labels", [[f"id{row}" for row in range(ROWS)], list(range(1000, 1000 + ROWS))])
def test_an_identifier_is_no_label(tmp_path: Path, labels: list[Any]) -> None:
    with pytest.raises(DataInvalid, match="are no classes"):
        table(tmp_path, [1.5] * ROWS, labels)


def test_a_few_rows_of_a_quantity_are_no_classes(tmp_path: Path) -> None:
    values = np.random.default_rng(6).normal(size=15).round(3).tolist()
    with pytest.raises(DataInvalid, match="15 different numbers in 15 rows are no classes"):
        table(tmp_path, list(range(15)), values)


def test_doubtful_classes_are_warnings(tmp_path: Path) -> None:
    ages = [row % 30 + 18 for row in range(300)]
    assert any("30 different numbers" in said for said in table(tmp_path, list(range(300)), ages).warnings)
    labels = [["yes", "Yes", "NA"][row % 3] for row in range(ROWS)]
    told = table(tmp_path, SHUFFLED, labels).warnings
    assert "the classes Yes and yes differ in capitals only" in told
    assert any(said.startswith("the class NA looks like a missing value") for said in told)
    told = table(tmp_path, SHUFFLED, labels, class_names=["yes", "Yes", "NA"]).warnings
    assert not any("capitals" in said or "missing" in said for said in told)


def test_half_stars_and_a_named_many_are_classes(tmp_path: Path) -> None:
    stars = [(row % 10) / 2 for row in range(ROWS)]
    assert len(table(tmp_path, SHUFFLED, stars).class_names) == 10
    names = [f"id{row}" for row in range(30)]
    assert len(table(tmp_path, SHUFFLED, names * 2, class_names=names).class_names) == 30


PIXELS = [[0, 300], [0, -1], [0.5, 1], [0, 256]]


@STREAMS
@pytest.mark.parametrize("pixels", PIXELS)
def test_pixels_of_a_csv_are_bytes(tmp_path: Path, pixels: list[float], more: Any) -> None:
    (tmp_path / "a.csv").write_text(f"label,p,q\n0,1,2\n1,{pixels[0]},{pixels[1]}\n")
    (tmp_path / "test.csv").write_text("label,p,q\n0,1,2\n")
    with pytest.raises(DataInvalid, match=r"a\.csv, row 2, column [pq]: expected an integer from 0 to 255"):
        load(tmp_path, csv="a.csv", image=[1, 2], **more)


def records(path: Path, pixels: list[list[float]], labels: list[int], kind: str = "float") -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row, label in zip(pixels, labels, strict=True):
            values = (
                tf.train.Feature(float_list=tf.train.FloatList(value=row))
                if kind == "float"
                else tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value) for value in row]))
            )
            features = {"p": values, "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


@pytest.mark.parametrize("pixels", PIXELS)
def test_pixels_of_a_tfrecord_are_bytes(tmp_path: Path, pixels: list[float]) -> None:
    records(tmp_path / "a.tfrecord", [[1, 2], pixels], [0, 1])
    with pytest.raises(
        DataInvalid, match=r"a\.tfrecord, row 2, column p[01]: expected an integer from 0 to 255"
    ):
        load(tmp_path, tfrecord="a.tfrecord", test="a.tfrecord", image=[1, 2])


def test_pixels_in_0_to_1_say_what_to_do(tmp_path: Path) -> None:
    records(tmp_path / "a.tfrecord", [[0, 0.25], [0.5, 1]], [0, 1])
    with pytest.raises(DataInvalid, match="times 255"):
        load(tmp_path, tfrecord="a.tfrecord", test="a.tfrecord", image=[1, 2])
    images = np.random.default_rng(0).random([4, 2, 2])
    labels = np.array([0, 1, 0, 1])
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    with pytest.raises(DataInvalid, match=r"images \* 255"):
        load(tmp_path, npz="a.npz")


def test_images_that_are_all_0_or_1_are_a_warning(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 2, [4, 2, 2], np.uint8)
    labels = np.array([0, 1, 0, 1])
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images[:1], y_test=labels[:1])
    assert any("no pixel is above 1" in warning for warning in load(tmp_path, npz="a.npz").warnings)


@pytest.mark.parametrize("kind", ["tfrecord", "csv"])
@pytest.mark.parametrize("brightest", [1, 2])
def test_streamed_images_that_are_all_0_or_1_are_a_warning(tmp_path: Path, kind: str, brightest: int) -> None:
    rows: list[list[float]] = [[0, 1], [1, 0], [brightest, 1]]
    if kind == "tfrecord":
        records(tmp_path / "a.tfrecord", rows, [0, 1, 1], "int64")
        records(tmp_path / "b.tfrecord", rows[:1], [0], "int64")
        loaded = load(tmp_path, tfrecord="a.tfrecord", test="b.tfrecord", image=[1, 2])
    else:
        lines = [f"{a},{b},{label}\n" for (a, b), label in zip(rows, "xyy", strict=True)]
        (tmp_path / "a.csv").write_text("a,b,label\n" + "".join(lines))
        (tmp_path / "b.csv").write_text("a,b,label\n" + lines[0])
        loaded = load(tmp_path, csv="a.csv", test="b.csv", stream=True, image=[1, 2])
    assert any("no pixel is above 1" in warning for warning in loaded.warnings) == (brightest == 1)


def test_times_in_a_tfrecord_are_looked_at_as_they_are(tmp_path: Path) -> None:
    times = [[1_700_000_000 + number, number] for number in SHUFFLED]
    records(tmp_path / "a.tfrecord", times, [row % 2 for row in range(ROWS)], "int64")
    with pytest.raises(DataInvalid, match="column 'p0' has values such as"):
        load(tmp_path, tfrecord="a.tfrecord", test="a.tfrecord")


def test_one_class_in_a_tfrecord_is_refused(tmp_path: Path) -> None:
    records(tmp_path / "a.tfrecord", [[1, 2], [3, 4]], [1, 1])
    for names in ({}, {"class_names": ["x", "y"]}):
        with pytest.raises(DataInvalid, match="two classes or more"):
            load(tmp_path, tfrecord="a.tfrecord", test="a.tfrecord", **names)


def test_categories_that_training_lacks_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("c,label\nx,0\ny,1\n")
    (tmp_path / "test.csv").write_text("c,label\nx,0\nz,1\n")
    said = load(tmp_path, csv="a.csv", test="test.csv", columns={"c": "category"}).warnings
    assert any(
        "1 of 2 test examples have a category that training does not, such as 'z'" in item for item in said
    )


def test_a_category_a_row_is_a_warning(tmp_path: Path) -> None:
    rows = "".join(f"id{row},{row % 2}\n" for row in range(ROWS))
    (tmp_path / "a.csv").write_text(f"c,label\n{rows}")
    said = load(tmp_path, csv="a.csv", columns={"c": "category"}).warnings
    assert any("column c has" in item and "looks like an identifier" in item for item in said)
