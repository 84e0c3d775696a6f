"""docs/from-the-tutorial.md: what it says fails does fail, what it says works does work."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "from-the-tutorial.md"


def rows(title: str) -> list[list[str]]:
    """The first two cells of each row under a title, without the header."""
    section = PAGE.read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")][:2] for line in table]


def code(cell: str) -> str:
    """The first code span of a cell."""
    found = re.match(r"`([^`]+)`", cell)
    assert found is not None
    return found.group(1)


CHANGED = [(code(then), code(now)) for then, now in rows("What has to be written differently")]
SAME = [code(call) for call, *_ in rows("What is still written the same")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tutorial")


@pytest.fixture
def names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page's calls refer to; files go into one folder, for what is saved is loaded by a later row."""
    import keras
    import tensorflow as tf

    monkeypatch.chdir(folder)
    layers = [keras.Input((4,)), keras.layers.Dense(3, activation="relu"), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = np.random.default_rng(0).random([8, 4]), np.arange(8) % 2
    history = model.fit(x, y, validation_split=0.25, verbose=0)

    def binary() -> keras.Model:
        made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
        made.compile("adam", "binary_crossentropy", metrics=["accuracy", "binary_crossentropy"])
        return made

    return {"tf": tf, "keras": keras, "model": model, "binary": binary, "x": x, "y": y, "history": history}


def run(call: str, names: dict[str, Any]) -> Any:
    # Keras warns of what it would rather see; the page says so where it matters.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(call, dict(names))


def test_the_tables_are_read() -> None:
    assert len(CHANGED) > 10
    assert len(SAME) > 10


@pytest.mark.parametrize(("then", "now"), CHANGED)
def test_what_was_written_then_fails_and_what_is_written_now_works(
    names: dict[str, Any], then: str, now: str
) -> None:
    # A metric or loss that was compiled away by an earlier call is not the page's business: `names` is made anew.
    if "model.compile" in then:
        with pytest.raises(ValueError, match="optimizer"):
            run(then, names)
    else:
        with pytest.raises((AttributeError, TypeError, ValueError, KeyError)):
            run(then, names)
    run(now, names)


@pytest.mark.parametrize("call", SAME)
def test_what_is_written_the_same_still_works(names: dict[str, Any], call: str) -> None:
    run(call, names)
