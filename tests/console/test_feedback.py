"""Examples saved with their right labels: `evaluate` and the trainer read what was saved, whatever disturbs."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client._layout import Layout
from atelier_client.data.csv_file import CsvReader
from atelier_client.data.tfrecord import TfrecordReader
from atelier_client.errors import DataError
from atelier_console.feedback.csv_rows import append_row
from atelier_console.feedback.image_records import append_picture, label_number
from atelier_console.feedback.save import file_name
from atelier_console.problems import Problem
from PIL import Image

from tests.support.client_command import command
from tests.support.console import RunningConsole, running_console
from tests.support.ports import free_port
from tests.support.server import RunningServer


@pytest.fixture
def console(folder: Path, server: RunningServer, tmp_path: Path) -> Iterator[RunningConsole]:
    """A console whose feedback folder is empty: an option given twice counts as its last."""
    with running_console(folder, server.grpc, f"--feedback={tmp_path / 'feedback'}") as running:
        yield running


def save(console: RunningConsole, model: str, given: dict[str, Any], label: str) -> dict[str, Any]:
    status, found = console.post(
        f"/api/models/{model}/feedback", {"input": given, "label": label, "predicted": "x"}
    )
    assert status == 200, found
    return found


def evaluated(folder: Path, server: RunningServer, model: str, file: Path) -> dict[str, Any]:
    """What `atelier-client evaluate FILE` measures."""
    done = command(
        *("evaluate", file, "--json", "--model", model, "--target", server.grpc, "--version", 1),
        *("--models", folder / "models", "--reports", file.parent / "reports"),
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_pictures_are_read_by_evaluate_and_by_the_trainer(
    console: RunningConsole, folder: Path, server: RunningServer, tmp_path: Path
) -> None:
    from atelier_trainer.data.job_data import load
    from atelier_trainer.job_file import load_job

    examples = json.loads(console.get("/api/models/fashion/examples")[1])["examples"]
    assert len({example["label"] for example in examples}) == 10
    for example in examples:
        save(console, "fashion", {"kind": "example", "number": example["number"]}, example["label"])
    file = tmp_path / "feedback" / "fashion.tfrecord"
    report = evaluated(folder, server, "fashion", file)
    assert report["dataset"]["examples"] == 10
    assert report["metrics"]["accuracy"] >= 0.7
    names = json.dumps([example["label"] for example in examples])
    (tmp_path / "again.yaml").write_text(
        f"name: again\nmodel: again\ndata: {{tfrecord: {file}, test: {file}, image: [28, 28], class_names: {names}}}\n"
        "network: {hidden: [8]}\nfit: {batch_size: 4, epochs: 1, seed: 1}\n"
    )
    data = load(load_job(str(tmp_path / "again.yaml")), tmp_path / "data")
    assert data.test.inputs.shape == (10, 28, 28)
    assert sorted(data.test.labels.tolist()) == list(range(10))


def test_texts_and_rows_are_read_by_evaluate_and_by_the_trainer(
    console: RunningConsole, folder: Path, server: RunningServer, tmp_path: Path
) -> None:
    from atelier_trainer.data.job_data import load
    from atelier_trainer.job_file import load_job

    texts = ['lovely, "very" lovely', "dull\nand long", "lovely; but", "dull"]
    for text in texts:
        label = "good" if "lovely" in text else "bad"
        save(console, "reviews", {"kind": "text", "text": text}, label)
    for age in ("", "30", "41", "55"):
        row = {"age": age, "city": "Rome" if age else "Oslo"}
        save(console, "customers", {"kind": "row", "values": row}, "yes" if age else "no")
    files = {name: tmp_path / "feedback" / f"{name}.csv" for name in ("reviews", "customers")}
    table = next(CsvReader(files["reviews"]).tables(10))
    assert table["text"].tolist() == texts
    assert set(table["version"].tolist()) == {"1"}
    for name, file in files.items():
        assert evaluated(folder, server, name, file)["dataset"]["examples"] == 4
    jobs = {
        "reviews": f"data: {{csv: {files['reviews']}, text: text, label: label, test: {files['reviews']}}}\n"
        "network: {embedding: 4, vocabulary: 10, length: 4}\n",
        "customers": f"data: {{csv: {files['customers']}, label: bought, missing: [''], test: {files['customers']},\n"
        "  columns: {city: category, time: ignore, version: ignore, predicted: ignore}}\nnetwork: {hidden: [4]}\n",
    }
    for name, text in jobs.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"name: again\nmodel: again\n{text}fit: {{batch_size: 4, epochs: 1, seed: 1}}\n")
        assert len(load(load_job(str(path)), tmp_path / "data").test.labels) == 4


def test_two_writers_lose_nothing(console: RunningConsole, tmp_path: Path) -> None:
    def one(number: int) -> None:
        save(console, "reviews", {"kind": "text", "text": f"film {number}"}, "good")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(24)))
    table = next(CsvReader(tmp_path / "feedback" / "reviews.csv").tables(100))
    assert sorted(table["text"].tolist()) == sorted(f"film {number}" for number in range(24))


@pytest.mark.parametrize(
    ("given", "label", "sentence"),
    [
        ({"kind": "example", "number": 0}, "Hat", "no class 'Hat'"),
        ({"kind": "json", "text": "[]"}, "Shirt", "Nothing was saved"),
        (None, "Shirt", "lacks an input"),
    ],
)
def test_what_cannot_be_saved_is_said(
    console: RunningConsole, tmp_path: Path, given: Any, label: str, sentence: str
) -> None:
    status, found = console.post("/api/models/fashion/feedback", {"input": given, "label": label})
    assert status == 400, found
    assert sentence in found["error"]
    assert not list((tmp_path / "feedback").glob("*"))


def test_a_model_without_a_card_keeps_no_feedback(console: RunningConsole) -> None:
    given = {"input": {"kind": "json", "text": '{"x": [1]}'}, "label": "1"}
    status, found = console.post("/api/models/toy/feedback", given)
    assert status == 400
    assert "toy has no model card" in found["error"]


def test_labels_are_saved_while_the_server_is_away(folder: Path, tmp_path: Path) -> None:
    """All but those of a test example, which the server's signature is needed for."""
    target, feedback = f"127.0.0.1:{free_port()}", tmp_path / "feedback"
    pixels = np.zeros([28, 28], np.uint8)
    pixels[4:20, 8:20] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    given: dict[str, tuple[dict[str, Any], str]] = {
        "fashion": ({"kind": "picture", "data": base64.b64encode(buffer.getvalue()).decode()}, "Shirt"),
        "reviews": ({"kind": "text", "text": "dull"}, "bad"),
        "customers": ({"kind": "row", "values": {"age": "30", "city": "Rome"}}, "yes"),
    }
    with running_console(folder, target, f"--feedback={feedback}") as console:
        for model, (document, label) in given.items():
            assert (
                "could not be asked: the version is not noted"
                in save(console, model, document, label)["saved"]
            )
        wrong = {"input": {"kind": "row", "values": {"age": "old", "city": "Rome"}}, "label": "no"}
        status, found = console.post("/api/models/customers/feedback", wrong)
        assert (status, "expected a number" in found["error"]) == (400, True)
        example = {"input": {"kind": "example", "number": 0}, "label": "Shirt"}
        status, found = console.post("/api/models/fashion/feedback", example)
        assert (status, "Cannot reach a model server" in found["error"]) == (502, True)
    [table] = TfrecordReader([feedback / "fashion.tfrecord"]).tables(9)
    assert (table["images"].reshape(28, 28) == pixels).all()
    [table] = CsvReader(feedback / "customers.csv").tables(9)
    assert {name: cells.tolist() for name, cells in table.items() if name != "time"} == {
        "age": ["30"],
        "city": ["Rome"],
        "bought": ["yes"],
        "version": [""],
        "predicted": ["x"],
    }
    [table] = CsvReader(feedback / "reviews.csv").tables(9)
    assert table["text"].tolist() == ["dull"]


class TestFilesOfOthers:
    """A file that another program has saved again is gone on with; what is no file of the console's own is left."""

    HEADER = ("text", "label")

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_another_dialect(self, tmp_path: Path, end: str, mark: str) -> None:
        path = tmp_path / "m.csv"
        path.write_bytes(f'{mark}text,label{end}"one, two",a{end}'.encode())
        append_row(path, Layout(), self.HEADER, ["three", "b"])
        [table] = CsvReader(path).tables(9)
        assert table["text"].tolist() == ["one, two", "three"]
        assert path.read_bytes().endswith(f'"three","b"{end}'.encode())

    def test_a_last_row_without_a_line_end_is_not_cut_off(self, tmp_path: Path) -> None:
        path = tmp_path / "m.csv"
        path.write_text("text,label\none,a")
        with pytest.raises(DataError, match=r"the last row of .*m\.csv has no line end"):
            append_row(path, Layout(), self.HEADER, ["two", "b"])
        assert path.read_text() == "text,label\none,a"

    def test_another_separator_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "m.csv"
        path.write_text("text;label\none;a\n")
        with pytest.raises(DataError, match=r"\(text;label\).*\(text, label, separated by ','\)"):
            append_row(path, Layout(), self.HEADER, ["two", "b"])

    def test_a_link_a_pipe_and_a_folder_are_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").write_text("precious")
        (tmp_path / "link.csv").symlink_to(tmp_path / "elsewhere")
        os.mkfifo(tmp_path / "pipe.csv")
        (tmp_path / "folder.csv").mkdir()
        reader = os.open(tmp_path / "pipe.csv", os.O_RDONLY | os.O_NONBLOCK)
        for name in ("link", "pipe", "folder"):
            with pytest.raises(DataError, match=rf"{name}\.csv is a link, a pipe or a folder"):
                append_row(tmp_path / f"{name}.csv", Layout(), self.HEADER, ["two", "b"])
        os.close(reader)
        with pytest.raises(DataError, match=r"pipe\.csv is a link, a pipe or a folder"):
            append_row(tmp_path / "pipe.csv", Layout(), self.HEADER, ["two", "b"])
        assert (tmp_path / "elsewhere").read_text() == "precious"


class TestTornFiles:
    """What a kill left half-written is cut off before the next record; what is whole stays."""

    def test_pictures(self, tmp_path: Path) -> None:
        path, names = tmp_path / "m.tfrecord", ("a", "b", "c")
        pixels = np.arange(4, dtype=np.uint8).reshape(2, 2)
        append_picture(path, pixels, 0, names)
        whole = path.read_bytes()
        append_picture(path, pixels, 1, names)
        both = path.read_bytes()
        for end in range(len(whole) + 1, len(both)):
            path.write_bytes(both[:end])
            append_picture(path, pixels, 2, names)
            assert next(TfrecordReader([path]).tables(9))["label"].tolist() == [0, 2]

    def test_rows(self, tmp_path: Path) -> None:
        path, layout = tmp_path / "m.csv", Layout()
        append_row(path, layout, ["text", "label"], ["one\nof two lines", "a"])
        whole = path.read_bytes()
        append_row(path, layout, ["text", "label"], ['a "quoted\nline"', "b"])
        both = path.read_bytes()
        for end in range(len(whole) + 1, len(both)):
            path.write_bytes(both[:end])
            append_row(path, layout, ["text", "label"], ["next", "c"])
            assert next(CsvReader(path).tables(9))["label"].tolist() == ["a", "c"]

    def test_a_file_of_another_kind_is_left_as_it_is(self, tmp_path: Path) -> None:
        for name in ("m.csv", "m.tfrecord"):
            (tmp_path / name).write_text("name,value\nsomebody,else's\n")
        with pytest.raises(DataError, match="has other columns"):
            append_row(tmp_path / "m.csv", Layout(), ["text", "label"], ["a", "b"])
        with pytest.raises(DataError, match="does not begin as a TFRecord"):
            append_picture(tmp_path / "m.tfrecord", np.zeros([2, 2], np.uint8), 0, ("a", "b"))
        assert (tmp_path / "m.csv").read_text() == (tmp_path / "m.tfrecord").read_text()


def test_a_models_name_leads_nowhere_else() -> None:
    assert file_name("../up/a model") == "_._up_a_model"
    assert file_name("fashion-2.0_b") == "fashion-2.0_b"


def test_the_number_of_a_class_follows_the_rule_for_labels() -> None:
    assert label_number(1, ("cat", "dog")) == 1
    assert label_number(0, ("7", "9")) == 7
    with pytest.raises(Problem, match="no whole number"):
        label_number(0, ("1.5", "2"))
