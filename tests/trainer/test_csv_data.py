"""A user's CSV: what is right is read exactly, what is wrong is named with file, row and column."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_trainer.data import job_data
from atelier_trainer.data.dataset import Examples
from atelier_trainer.data.held_out_file import read_test_file
from atelier_trainer.errors import DataInvalid, JobError
from atelier_trainer.job import Job

TABLE = "a,b,label\n1,2.5,x\n3,-4e2,y\n5,6,x\n7,8,y\n"
TEXT = 'review,label\n"good, really\ngood",1\nbad,0\nfine,1\n"the ""worst""",0\n'


def job(data: dict[str, Any], folder: Path = Path(), **fit: Any) -> Job:
    return Job.from_document(
        {
            "name": "mine",
            "model": "mine",
            "data": data,
            "network": {"hidden": [4]},
            "fit": {"batch_size": 2, "epochs": 1, **fit},
        },
        folder,
    )


def loaded(tmp_path: Path, content: str, **data: Any) -> Any:
    (tmp_path / "data.csv").write_text(content)
    return job_data.load(job({"csv": "data.csv", **data}, tmp_path), tmp_path / "cache")


def test_numbers_are_read_exactly_and_split_the_same_way_each_time(tmp_path: Path) -> None:
    first, again = (loaded(tmp_path, TABLE, test_split=0.25) for _ in range(2))
    assert first.kind == "table"
    assert first.columns == ("a", "b")
    assert first.class_names == ("x", "y")
    assert len(first.train) == 3
    assert len(first.test) == 1
    rows = np.concatenate([first.train.inputs, first.test.inputs]).tolist()
    assert sorted(rows) == [[1, 2.5], [3, -400], [5, 6], [7, 8]]
    np.testing.assert_array_equal(first.test.inputs, again.test.inputs)


def test_text_keeps_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    data = loaded(tmp_path, TEXT, text="review", test_split=0.5)
    texts = {*data.train.inputs, *data.test.inputs}
    assert texts == {b"good, really\ngood", b"bad", b"fine", b'the "worst"'}
    assert data.class_names == ("0", "1")


def test_pixels_become_images_with_class_names(tmp_path: Path) -> None:
    content = "label,p1,p2,p3,p4\n0,0,1,2,255\n1,9,9,9,9\n"
    data = loaded(tmp_path, content, image=[2, 2], class_names=["dark", "light"], test_split=0.5)
    examples = np.concatenate([data.train.inputs, data.test.inputs])
    assert examples.dtype == np.uint8
    assert examples.shape == (2, 2, 2)
    assert data.class_names == ("dark", "light")


@pytest.mark.parametrize("content", [TABLE, TEXT])
def test_the_test_file_gives_the_test_examples_back(tmp_path: Path, content: str) -> None:
    data = loaded(tmp_path, content, test_split=0.5, **({"text": "review"} if content == TEXT else {}))
    back = read_test_file(data.test_file, data.kind, data.class_names, data.features, tmp_path / "cache")
    assert back.inputs.tolist() == data.test.inputs.tolist()
    assert back.labels.tolist() == data.test.labels.tolist()


def test_an_input_may_be_called_label(tmp_path: Path) -> None:
    data = loaded(tmp_path, "label,y,label_\n1,p,2\n3,n,4\n5,p,6\n7,n,8\n", label="y", test_split=0.5)
    assert data.test_file["label"] == "label__"
    header = (tmp_path / "cache" / data.test_file["path"]).read_text().splitlines()[0]
    assert header == "label__,label,label_"
    back = read_test_file(data.test_file, data.kind, data.class_names, data.features, tmp_path / "cache")
    assert back.inputs.tolist() == data.test.inputs.tolist()
    assert back.labels.tolist() == data.test.labels.tolist()


TEXT_KEY = {"text": "review"}
PIXELS = {"image": [1, 2]}


def test_the_card_names_the_pixels_so_that_a_client_finds_them(tmp_path: Path) -> None:
    data = loaded(tmp_path, "p2,label,p1\n1,0,2\n3,1,4\n", image=[1, 2], test_split=0.5)
    assert data.columns == ("p2", "p1")


def test_a_long_text_beside_an_empty_one(tmp_path: Path) -> None:
    csv.field_size_limit(131_072)  # Python's own, which another test may have changed
    content = f'review,label\n"{"long " * 50_000}",1\n"",0\nfine,1\n'
    data = loaded(tmp_path, content, text="review", test_split=0.34)
    assert sorted(len(text) for text in [*data.train.inputs, *data.test.inputs]) == [0, 4, 250_000]


@pytest.mark.parametrize(
    ("content", "data"),
    [
        ("label,review,extra\n1,a,x\n0,b\n1,c,x\n", {"text": "review"}),
        ("label,c,n\n1,a,1\n0,b\n1,c,3\n", {"columns": {"c": "category"}, "missing": [""]}),
        ("label,n,c\n1,1,a\n0,2\n1,3,c\n", {"columns": {"c": "category"}, "missing": [""]}),
        ("label,n,c\n1,1,a\n0,2\n1,3,c\n", {"columns": {"c": "ignore"}}),
    ],
)
def test_a_row_that_ends_early_is_no_row_of_empty_cells(
    tmp_path: Path, content: str, data: dict[str, Any]
) -> None:
    with pytest.raises(DataInvalid, match="row 2: expected 3 cells, as the header has, got 2"):
        loaded(tmp_path, content, **data)


@pytest.mark.parametrize("encoding", ["utf-8", "U8", "utf_8", "UTF8"])
def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path, encoding: str) -> None:
    data = loaded(tmp_path, f"\ufeff{TABLE}", encoding=encoding)
    assert data.columns == ("a", "b")


@pytest.mark.parametrize(
    ("content", "data", "said"),
    [
        ("", {}, ["data.csv is empty"]),
        ("a,b,label\n", {}, ["has a header and no rows"]),
        ("a,b,labl\n1,2,x\n", {}, ["the column 'label' is missing", "Did you mean 'labl'?"]),
        ("a,a,label\n1,2,x\n", {}, ["the column 'a' is there twice"]),
        ("label\nx\ny\n", {}, ["expected columns of numbers"]),
        ("a,b,label\n1,2,x\n3,four,y\n", {}, ["row 2, column b", "expected a number, got 'four'"]),
        ("a,b,label\n1,2,x\n3,,y\n", {}, ["row 2, column b", "expected a number, got ''"]),
        ("a,b,label\n1,2,x\n3,nan,y\n", {}, ["row 2, column b", "expected a finite number"]),
        ("a,b,label\n1,2,x\n3,1e39,y\n", {}, ["row 2, column b", "expected a finite number"]),
        ("a,b,label\n1,2,x\n3,4\n", {}, ["row 2", "expected 3 cells, as the header has, got 2. When its"]),
        ("a,b,label\n1,2,x\n3,4,y,5\n", {}, ["row 2", "got 4"]),
        ("a,b,label\n1,2,x,9\n3,4,y,5\n", {}, ["row 1", "got 4"]),
        ("a,b,label\n1,2,x\n3,4,\n", {}, ["row 2, column label", "expected a label"]),
        ("a,b,label\n1,2,x\n3,4,x\n", {}, ["got only the label 'x'"]),
        ("a,b,label\n1,2,x\n3,4,z\n", {"class_names": ["x", "y"]}, ["row 2, column label", "'z' is out of range"]),
        ("a,b,label\n1,2,0\n3,4,2\n", {"class_names": ["x", "y"]}, ["row 2, column label", "0 to 1"]),
        ("a,b,label\n1,2,0\n3,4,-1\n", {"class_names": ["x", "y"]}, ["row 2, column label", "'-1' is out of range"]),
        ("a,b,label\n1,2,0\n3,256,1\n", PIXELS, ["row 2, column b", "from 0 to 255, got 256"]),
        ("a,b,label\n1,2,0\n3,0.5,1\n", PIXELS, ["row 2, column b", "got 0.5"]),
        ("a,b,c,label\n1,2,3,0\n", PIXELS, ["has 2 pixels, the file has 3 columns"]),
        ("label,txt\n0,x\n", TEXT_KEY, ["the column 'review' is missing"]),
        ("label,review\n0,x\n,y\n", TEXT_KEY, ["row 2, column label", "expected a label"]),
        ("label,review\n0,x\n1\n", TEXT_KEY, ["row 2", "got 1"]),
        ('label,review\n0,"x\n1,y\n', TEXT_KEY, ["data.csv", "row 1: it is no CSV", "When its writer was stopped"]),
        ("a,b,label\n1,2,x\n", {}, ["two classes or more"]),
        ("a,b,label\n1,2,x\n3,4,y\n", {"test_split": 0.1}, ["2 rows are too few"]),
        (TABLE, {"test": "."}, ["is a folder", "part-*.csv"]),
        (TABLE, {"test": "nowhere.csv"}, ["nowhere.csv does not exist", "job file's folder"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, content: str, data: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(DataInvalid) as error:
        loaded(tmp_path, content, **data)
    for part in said:
        assert part in str(error.value)
    assert ".csv" in str(error.value)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("a,label\n1,x\n", "lacks 'b'"),
        ("a,b,c,label\n1,2,3,x\n", "has also 'c'"),
        ("b,c,label\n1,2,x\n", "lacks 'a' and has also 'c'"),
    ],
)
def test_a_test_file_with_other_columns_is_refused(tmp_path: Path, header: str, said: str) -> None:
    (tmp_path / "test.csv").write_text(header)
    with pytest.raises(DataInvalid, match=said):
        loaded(tmp_path, TABLE, test="test.csv")


def test_a_test_file_may_order_its_columns_differently(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("label,b,a\nx,20,10\n")
    assert loaded(tmp_path, TABLE, test="test.csv").test.inputs.tolist() == [[10, 20]]


def test_a_label_unknown_in_training_is_out_of_range_in_the_test(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("a,b,label\n1,2,x\n1,2,w\n")
    with pytest.raises(DataInvalid, match=r"test\.csv, row 2, column label: the label 'w' is out of range"):
        loaded(tmp_path, TABLE, test="test.csv")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b"a,label\n\xff\xfe,x\n")
    with pytest.raises(DataInvalid, match=r"data\.csv"):
        job_data.load(job({"csv": "data.csv"}, tmp_path), tmp_path)
    with pytest.raises(DataInvalid, match="does not exist"):
        job_data.load(job({"csv": "*.tsv"}, tmp_path), tmp_path)


def test_duplicates_and_imbalance_are_warnings(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("a,b,label\n1,2.5,x\n0,0,y\n")
    rare = TABLE + "".join(f"{number},0,x\n" for number in range(1, 41))
    warnings = loaded(tmp_path, rare, test="test.csv").warnings
    assert len(warnings) == 2
    assert "class imbalance: 2 examples of y, 42 of x" in warnings[0]
    assert "1 of 2 test examples" in warnings[1]
    assert loaded(tmp_path, TABLE, test_split=0.25).warnings == ()


def test_a_validation_split_and_a_validation_file(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(
        "a,label\n" + "".join(f"{number},{number % 2}\n" for number in range(100))
    )
    (tmp_path / "val.csv").write_text("a,label\n5,0\n6,1\n")
    split = job_data.load(job({"csv": "data.csv"}, tmp_path, validation_split=0.25), tmp_path)
    assert isinstance(split.train, Examples)
    assert split.validation is not None
    assert (len(split.train), len(split.validation), len(split.test)) == (60, 20, 20)
    parts = (split.train, split.validation, split.test)
    assert sorted(value for part in parts for value in part.inputs.ravel().tolist()) == list(range(100))
    named = job_data.load(job({"csv": "data.csv", "validation": "val.csv"}, tmp_path), tmp_path)
    assert named.validation is not None
    assert named.validation.inputs.ravel().tolist() == [5, 6]
    assert isinstance(named.train, Examples)


@pytest.mark.parametrize(
    ("network", "fit", "said"),
    [
        ({"convolutions": [4]}, {}, "expected images"),
        ({"embedding": 4}, {}, "expected text"),
        ({"vocabulary": 500}, {}, r"network\.vocabulary: expected text"),
        ({"hidden": [4]}, {"flip": True}, r"fit\.flip: expected images"),
        ({"hidden": [4]}, {"shift": 1}, r"fit\.shift: expected images"),
    ],
)
def test_a_network_that_does_not_fit_the_data_is_refused(
    tmp_path: Path, network: dict[str, Any], fit: dict[str, Any], said: str
) -> None:
    (tmp_path / "data.csv").write_text(TABLE)
    document = job({"csv": "data.csv", "test_split": 0.5}, tmp_path, **fit).model_dump() | {
        "network": network
    }
    with pytest.raises(JobError, match=said):
        job_data.load(Job.from_document(document, tmp_path), tmp_path)


def test_the_digest_of_the_data_follows_their_content(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(TABLE)
    mine = job({"csv": "data.csv"}, tmp_path)
    before = job_data.source_digest(mine)
    assert job_data.source_digest(mine) == before
    (tmp_path / "data.csv").write_text(TABLE + "9,9,x\n")
    assert job_data.source_digest(mine) != before
