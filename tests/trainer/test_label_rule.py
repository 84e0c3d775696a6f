"""Labels: the rule of docs/contracts.md, section 2, in every source the trainer reads."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from atelier_trainer.data import job_data
from atelier_trainer.data.dataset import DataSet, Examples
from atelier_trainer.data.held_out_file import read_test_file
from atelier_trainer.errors import DataInvalid, JobError
from atelier_trainer.job import Job
from atelier_trainer.job_file import load_job
from atelier_trainer.training.fit import class_weights


def loaded(folder: Path, cells: list[str], test: list[str] | None = None, **data: Any) -> DataSet:
    for name, labels in (("a", cells), ("test", test)):
        if labels is not None:
            rows = "".join(f"{number},{label}\n" for number, label in enumerate(labels))
            (folder / f"{name}.csv").write_text(f"x,label\n{rows}", encoding="utf-8")
    settings = {"csv": "a.csv", **({"test": "test.csv"} if test else {"test_split": 0.25}), **data}
    return job_data.load(job(settings, folder), folder / "cache")


def job(data: dict[str, Any], folder: Path = Path(), **fit: Any) -> Job:
    return Job.from_document(
        {
            "name": "a",
            "model": "a",
            "data": data,
            "network": {"hidden": [4]},
            "fit": {"batch_size": 2, "epochs": 1, **fit},
        },
        folder,
    )


def names_of(data: DataSet, side: str = "train") -> list[str]:
    return [data.class_names[number] for number in getattr(data, side).labels]


def test_numbers_are_equal_by_value_and_sorted_by_it(tmp_path: Path) -> None:
    data = loaded(tmp_path, ["1", "10.0", "2", "1.0", "10", "02"], test=["10", "1.00", " 2 "])
    assert data.class_names == ("1", "2", "10")
    assert names_of(data) == ["1", "10", "2", "1", "10", "2"]
    assert names_of(data, "test") == ["10", "1", "2"]


def test_what_pandas_writes_after_a_missing_value_keeps_its_spelling(tmp_path: Path) -> None:
    data = loaded(tmp_path, ["1.0", "2.0", "3.0"], test=["1", "3"])
    assert data.class_names == ("1.0", "2.0", "3.0")
    assert names_of(data, "test") == ["1.0", "3.0"]


@pytest.mark.parametrize("names", [["1", "2", "3"], ["3", "4", "5"]])
@pytest.mark.parametrize("wrong", ["0", "2.5", "1e0", "True", "NaN", "x"])
def test_where_names_are_numbers_only_names_count(tmp_path: Path, names: list[str], wrong: str) -> None:
    with pytest.raises(DataInvalid, match=r"test\.csv, row 2, column label.*compared as numbers"):
        loaded(tmp_path, names, test=[names[0], wrong])


@pytest.mark.parametrize("cells", [["0", "1", "1"], ["0.0", "1", "01"]])
def test_class_numbers_count_where_no_name_is_one_and_it_is_said(
    tmp_path: Path, cells: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = loaded(tmp_path, cells, test=["light", "dark"], class_names=["dark", "light"])
    assert names_of(data) == ["dark", "light", "light"]
    assert names_of(data, "test") == ["light", "dark"]
    said = capsys.readouterr().err
    assert "a.csv: the column label holds class numbers: 0 for dark, 1 for light" in said
    assert "test.csv" not in said


def test_a_file_with_names_and_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"row 2, column label.*names elsewhere"):
        loaded(tmp_path, ["dark", "1", "light"], class_names=["dark", "light"])


@pytest.mark.parametrize(
    ("cells", "data", "said"),
    [
        (["x", "nan", "y"], {}, "the label 'nan' is a missing value"),
        (["x", "y", "X"], {"class_names": ["x", "y"]}, "row 3, column label"),
        (["drak", "light"], {"class_names": ["dark", "light"]}, "did you mean 'dark'"),
        (["x", "x", "x"], {"class_names": ["x", "y"]}, "two classes or more, got only the label 'x'"),
    ],
)
def test_other_labels_are_refused(tmp_path: Path, cells: list[str], data: dict[str, Any], said: str) -> None:
    with pytest.raises(DataInvalid, match=said):
        loaded(tmp_path, cells, **data)


def test_a_named_nan_is_a_class(tmp_path: Path) -> None:
    assert loaded(tmp_path, ["nan", "x"] * 2, class_names=["nan", "x"]).class_names == ("nan", "x")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a", "b", "a"], "'?a'? is there twice"),
        (["1", "1.0"], "1 and 1.0 are one number"),
        (["a", ""], "a name is empty"),
        (["a", "b "], "spaces around it"),
        (["a"], "class_names"),
        ([True, False], "write it in quotes"),
    ],
)
def test_class_names_that_are_not_apart_are_refused(tmp_path: Path, names: list[Any], said: str) -> None:
    path = tmp_path / "a.yaml"
    document = {
        **job({"csv": "a.csv"}).model_dump(mode="json"),
        "data": {"csv": "a.csv", "class_names": names},
    }
    path.write_text(json.dumps(document))
    with pytest.raises(JobError, match=said):
        load_job(str(path))


def test_class_names_may_be_numbers_in_the_job() -> None:
    assert job({"csv": "a.csv", "class_names": [1, 2.5]}).data.class_names == ["1", "2.5"]


@pytest.mark.parametrize("cells", [["3", "4.0", "5"], ["cat", "dog", "owl"], ["1.0", "2.0", "1.5"]])
def test_the_test_file_holds_names_and_says_so(tmp_path: Path, cells: list[str]) -> None:
    data = loaded(tmp_path, cells * 4)
    assert data.test_file["labels"] == "names"
    with open(tmp_path / "cache" / data.test_file["path"], encoding="utf-8", newline="") as handle:
        written = [row["label"] for row in csv.DictReader(handle)]
    assert written == names_of(data, "test")
    back = read_test_file(data.test_file, data.kind, data.class_names, (), tmp_path / "cache")
    assert back.labels.tolist() == data.test.labels.tolist()


def test_a_test_file_of_an_older_version_holds_numbers(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("label,x\n0,1\n2,2\n")
    old = {"format": "csv", "path": "old.csv"}
    assert read_test_file(old, "table", ("1", "2", "3"), (), tmp_path).labels.tolist() == [0, 2]


def test_other_class_names_make_another_test_file(tmp_path: Path) -> None:
    first = loaded(tmp_path, ["0", "1"] * 4, class_names=["dark", "light"])
    other = loaded(tmp_path, ["0", "1"] * 4, class_names=["off", "on"])
    assert first.test_file["path"] != other.test_file["path"]


def test_streaming_follows_the_rule(tmp_path: Path) -> None:
    data = loaded(tmp_path, ["3.0", "4", "5.00", "3"] * 5, test=["3", "5.0"], stream=True)
    assert data.class_names == ("4", "3.0", "5.00") or data.class_names == ("3", "4", "5.00")
    assert not isinstance(data.train, Examples)
    assert data.train.counts.tolist() == [10, 5, 5]
    batches = list(data.train.batches(7, tf.constant(0, tf.int64)))  # type: ignore[call-overload]
    pairs = {
        (int(row[0]) % 4, int(label))
        for rows, labels in batches
        for row, label in zip(rows, labels, strict=True)
    }
    assert pairs == {(0, 0), (1, 1), (2, 2), (3, 0)}
    with pytest.raises(DataInvalid, match="row 2, column label"):
        loaded(tmp_path, ["3", "0", "5"], test=["3"], stream=True, class_names=["3", "4", "5"])


def npz(folder: Path, labels: np.ndarray, test: np.ndarray | None = None, **data: Any) -> DataSet:
    images = np.random.default_rng(0).integers(0, 256, [len(labels), 2, 2], np.uint8)
    test = labels if test is None else test
    np.savez(folder / "a.npz", x_train=images, y_train=labels, x_test=images[: len(test)], y_test=test)
    return job_data.load(job({"npz": "a.npz", **data}, folder), folder / "cache")


def test_names_that_are_numbers_count_in_an_npz_too(tmp_path: Path) -> None:
    data = npz(tmp_path, np.array([3, 5, 4]), class_names=["3", "4", "5"])
    assert data.train.labels.tolist() == [0, 2, 1]  # type: ignore[union-attr]
    assert data.test_file["labels"] == "numbers"
    with pytest.raises(DataInvalid, match=r"row 2: the label 1 is out of range: expected one of 3, 4, 5"):
        npz(tmp_path, np.array([3, 1, 4]), class_names=["3", "4", "5"])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.int32, ">i4"])
def test_labels_of_any_integer_dtype_and_shape_n_1(tmp_path: Path, dtype: Any) -> None:
    data = npz(tmp_path, np.array([[0], [1], [2], [1]], dtype))
    assert data.train.labels.tolist() == [0, 1, 2, 1]  # type: ignore[union-attr]
    assert data.train.labels.dtype == np.int64  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.array(["cat", "dog"]), "np.unique"),
        (np.array([b"cat", b"dog"]), "np.unique"),
        (np.array(1), r"got int64 \[\]"),
        (np.eye(2, dtype=int), "argmax"),
        (np.array([0.5, 1.0]), "y_train, row 1: expected a whole number"),
        (np.array([0, 0]), "got only the label '0'"),
        (np.array([7, 7]), "got only the label '7'"),
        (np.array([0, 2**40]), "would be the number of a class"),
        (np.array([0, 2**64 - 1], np.uint64), "would be the number of a class"),
    ],
)
def test_labels_that_are_none_are_refused_in_an_npz(tmp_path: Path, labels: np.ndarray, said: str) -> None:
    images = np.zeros([2, 2, 2], np.uint8)
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    with pytest.raises(DataInvalid, match=rf"a\.npz.*{said}"):
        job_data.load(job({"npz": "a.npz"}, tmp_path), tmp_path / "cache")


def test_arrays_in_fortran_order_are_read(tmp_path: Path) -> None:
    images = np.asfortranarray(np.random.default_rng(0).integers(0, 256, [6, 3, 4], np.uint8))
    labels = np.asfortranarray(np.array([[0], [1]] * 3))
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    data = job_data.load(job({"npz": "a.npz"}, tmp_path), tmp_path / "cache")
    np.testing.assert_array_equal(data.train.inputs, images)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({0: 1.0, 1: 4}, {0: 1.0, 1: 4.0}),
        ({"light": 3}, {0: 1.0, 1: 3.0}),
    ],
)
def test_class_weights_go_by_number_or_name(tmp_path: Path, weights: Any, expected: dict[int, float]) -> None:
    data = loaded(tmp_path, ["dark", "light"] * 4)
    assert class_weights(job({"csv": "a.csv"}, class_weight=weights).fit, data) == expected


def test_class_weights_of_names_that_are_numbers_go_by_name(tmp_path: Path) -> None:
    data = loaded(tmp_path, ["1", "2"] * 4)
    fit = job({"csv": "a.csv"}, class_weight={1: 5, 2.0: 7}).fit
    assert class_weights(fit, data) == {0: 5.0, 1: 7.0}
    with pytest.raises(JobError, match="no class '0'"):
        class_weights(job({"csv": "a.csv"}, class_weight={0: 5}).fit, data)
