"""The model card: without one no class has a name but those the server answers, and a damaged one is an error."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client._model_card import read_card
from atelier_client.errors import DataError
from atelier_client.testing import InMemoryServer

from tests.support.client_command import command
from tests.support.small_server import small_server

CARD: dict[str, Any] = {
    "class_names": ["calm", "storm"],
    "input": {"kind": "table", "columns": ["x"]},
    "data": {"name": "weather", "test": {"file": {"format": "csv", "path": "weather/test.csv"}}},
    "metrics": {"test": {"accuracy": 0.5}},
}
NUMBERS = ("1", "2", "3")
WORDS = ("low", "middle", "high")


def classify(names: tuple[str, ...] | None) -> Any:
    """A model of one number, whose class is that number; it answers names when it has them."""

    def model(inputs: dict[str, Any]) -> dict[str, Any]:
        classes = np.round(inputs["x"][:, 0]).astype(int)
        outputs: dict[str, Any] = {
            "probabilities": np.eye(3, dtype=np.float32)[classes] * 0.7 + np.float32(0.1)
        }
        if names:
            outputs["label"] = np.array([names[number].encode() for number in classes], object)
        return outputs

    return model


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    """A server of models that answer no names, words, and numbers as names."""
    memory = InMemoryServer()
    for model, names in (("plain", None), ("words", WORDS), ("numbers", NUMBERS)):
        outputs = {"probabilities": ("float32", (-1, 3))} | ({"label": ("string", (-1,))} if names else {})
        memory.serve(model, classify(names), inputs={"x": ("float32", (-1, 1))}, outputs=outputs)
    with small_server(memory) as running:
        yield running.address


def write_card(folder: Path, text: str | bytes) -> Path:
    path = folder / "assets.extra" / "model_card.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def changed(key: str, value: Any) -> str:
    """The card with another value under a key; None takes the key away."""
    card = json.loads(json.dumps(CARD))
    *parents, last = key.split(".")
    inner = card
    for name in parents:
        inner = inner[name]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return json.dumps(card)


def test_the_card_names_the_label_of_the_test_file(tmp_path: Path) -> None:
    for file, column in (
        ({"format": "csv", "path": "t.csv", "label": "label_"}, "label_"),
        ({"format": "csv", "path": "t.csv"}, "label"),
        ({"format": "npz", "path": "t.npz"}, "labels"),
    ):
        write_card(tmp_path, json.dumps(CARD | {"data": {"name": "weather", "test": {"file": file}}}))
        card = read_card(tmp_path)
        assert card is not None
        assert card.test_layout.label == column


def test_a_version_without_a_card_has_none(tmp_path: Path) -> None:
    assert read_card(tmp_path) is None
    assert read_card(tmp_path / "nowhere") is None
    write_card(tmp_path, json.dumps(CARD))
    card = read_card(tmp_path)
    assert card is not None
    assert card.class_names == ("calm", "storm")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "line 1, column 1"),
        ('{"class_names":\n  ["a",]}', "line 2, column"),
        (json.dumps(CARD)[:-20], "line 1, column"),
        (b'{"model": "\xff"}', "byte 12"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "the key data is missing"),
        (changed("class_names", None), "the key class_names is missing"),
        (changed("class_names", "calm"), 'the key class_names: expected a list, got "calm"'),
        (changed("class_names", ["calm", None]), "the key class_names[1]: expected a text, got null"),
        (changed("data", 7), "the key data.test is missing"),
        (changed("data.name", []), "the key data.name: expected a text, got []"),
        (changed("data.test.file", []), "the key data.test.file: expected an object"),
        (changed("data.test.file.path", 3), "the key data.test.file.path: expected a text, got 3"),
        (changed("metrics.test", [1]), "the key metrics.test: expected an object"),
        (changed("metrics.test.accuracy", "good"), "the key metrics.test.accuracy: expected a number"),
        (changed("input.columns", {}), "the key input.columns: expected a list"),
        (changed("input.separator", ";;"), 'the key input.separator: expected one character, got ";;"'),
        (changed("input.decimal", ""), 'the key input.decimal: expected one character, got ""'),
    ],
)
def test_a_damaged_card_is_an_error_with_its_place(tmp_path: Path, text: str | bytes, place: str) -> None:
    path = write_card(tmp_path, text)
    with pytest.raises(DataError, match=re.escape(str(path))) as caught:
        read_card(tmp_path)
    assert place in str(caught.value)


@pytest.mark.parametrize("place", ["../else/test.csv", "a/../../test.csv", "/etc/passwd", "a\0b"])
def test_a_test_file_out_of_the_data_folder_is_refused(tmp_path: Path, place: str) -> None:
    card = CARD | {"data": {"name": "weather", "test": {"file": {"format": "csv", "path": place}}}}
    write_card(tmp_path, json.dumps(card))
    with pytest.raises(DataError, match=r"data\.test\.file\.path: expected a path inside the data folder"):
        read_card(tmp_path)


def test_a_damaged_card_ends_the_commands(target: str, tmp_path: Path) -> None:
    write_card(tmp_path / "plain" / "1", "{")
    (tmp_path / "rows.csv").write_text("x,label\n1,1\n")
    for name in ("evaluate", "predict"):
        done = command(
            name,
            tmp_path / "rows.csv",
            "--target",
            target,
            "--model",
            "plain",
            "--models",
            tmp_path,
            "--json",
        )
        assert done.returncode == 2
        assert "model_card.json is damaged: line 1, column 2" in done.stderr
        assert "Traceback" not in done.stderr


def predict(target: str, model: str, models: Path) -> list[dict[str, Any]]:
    done = command(
        "predict", "-", "--target", target, "--model", model, "--models", models, "--json", input="[2]\n[0]\n"
    )
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)["predictions"]
    return rows


def test_without_a_card_predict_shows_numbers_or_the_servers_own_label(target: str, tmp_path: Path) -> None:
    plain, words, numbers = (predict(target, model, tmp_path) for model in ("plain", "words", "numbers"))
    assert [row["label"] for row in plain] == ["2", "0"]
    assert [name for name, _ in plain[0]["top"]] == ["2", "0", "1"]
    assert [row["label"] for row in words] == ["high", "low"]
    assert [row["label"] for row in numbers] == ["3", "1"]
    # A class that the server has not named is not taken for one that has this number as its name.
    assert [name for name, _ in numbers[0]["top"]] == ["3", "class 0", "class 1"]


@pytest.mark.parametrize("name", ["evaluate", "predict"])
def test_without_card_and_file_the_command_asks_for_one(target: str, tmp_path: Path, name: str) -> None:
    done = command(name, "--target", target, "--model", "words", "--models", tmp_path, "--data", tmp_path)
    assert done.returncode == 2
    assert "Give a FILE" in done.stderr
    assert "--models DIR" in done.stderr


def evaluate(target: str, model: str, folder: Path, rows: str, *more: object) -> Any:
    (folder / "rows.csv").write_text(f"x,label\n{rows}")
    return command(
        "evaluate", folder / "rows.csv", "--target", target, "--model", model, "--models", folder, "--reports", folder,
        "--json", *more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("model", "rows", "names", "accuracy"),
    [
        ("plain", "0,0\n1,1\n2,0\n2,2\n", ["0", "1", "2"], 0.75),
        ("words", "0,low\n1,middle\n2,low\n2,high\n", ["low", "middle", "high"], 0.75),
        ("words", "0,low\n2,low\n2,high\n2,high\n", ["low", "class 1", "high"], 0.75),
        ("numbers", "0,1\n1,2\n2,1\n2,3\n", ["1", "2", "3"], 0.75),
    ],
)
def test_without_a_card_evaluate_counts_the_servers_labels(
    target: str, tmp_path: Path, model: str, rows: str, names: list[str], accuracy: float
) -> None:
    done = evaluate(target, model, tmp_path, rows)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [row["label"] for row in report["per_class"]] == names
    assert report["metrics"]["accuracy"] == accuracy
    assert "There is no model card to read at" in done.stderr


def test_numbers_as_names_that_are_not_all_known_are_asked_for(target: str, tmp_path: Path) -> None:
    done = evaluate(target, "numbers", tmp_path, "0,1\n2,1\n")
    assert done.returncode == 2
    assert "--class-names A,B,C" in done.stderr


def test_the_only_model_of_the_repository_is_asked_and_named(target: str, tmp_path: Path) -> None:
    (tmp_path / "models.config").write_text(
        'model_config_list { config { name: "words" base_path: "/m/words" } }'
    )
    environ = {name: value for name, value in os.environ.items() if name != "ATELIER_MODEL"}
    arguments = ("status", "--target", target, "--models", tmp_path)
    done = command(*arguments, env=environ)
    assert done.returncode == 0, done.stderr
    assert "Model words, the only one" in done.stderr
    second = 'config { name: "plain" base_path: "/m/plain" }'
    (tmp_path / "models.config").write_text(
        f'model_config_list {{ config {{ name: "words" base_path: "/m/words" }} {second} }}'
    )
    for text in ("lists words, plain", "Give --model NAME"):
        done = command(*arguments, env=environ)
        assert done.returncode == 2
        assert text in done.stderr
    (tmp_path / "models.config").unlink()
    for name in ("status", "predict", "evaluate"):
        done = command(name, *arguments[1:], env=environ)
        assert done.returncode == 2
        assert "Give --model NAME" in done.stderr
    done = command("doctor", *arguments[1:], env=environ)
    assert done.returncode == 1
    assert "Which model is meant is not known" in done.stdout


def test_no_data_set_is_built_in() -> None:
    """The demo's data and its classes are the trainer's; the client knows none."""
    import atelier_client

    folder = Path(atelier_client.__file__).parent
    for path in folder.rglob("*.py"):
        text = path.read_text().lower()
        for word in ("fashion", "sneaker", "imdb", "iris"):
            assert word not in text, f"{path}: {word}"
