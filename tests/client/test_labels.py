"""Labels become class numbers by one rule (docs/contracts.md, section 2), whatever their form."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client._layout import Layout
from atelier_client._model_card import ModelCard
from atelier_client.cli.labelled_examples import LabelledExamples
from atelier_client.data.labels import Labels
from atelier_client.data.open import open_reader
from atelier_client.errors import DataError, InputError

STARS = ("1", "2", "3", "4", "5")
FLOATS = ("1.0", "2.0", "3.0")
WORDS = ("cat", "dog", "T-shirt/top")


def numbers(
    names: tuple[str, ...] | None, cells: Any, label_kind: Any = None, classes: int = 5, **settings: Any
) -> list[int]:
    array = np.array(cells, object) if isinstance(cells, list) else cells
    labels = Labels(names, len(names) if names else classes, label_kind, **settings)
    found: list[int] = labels.numbers(array, lambda row: f"file, row {row + 1}").tolist()
    return found


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "5"], ["1.0", "5.0"], [" 1", "5 "], ["01", "+5"], [b"1", b"5"], [1, 5], [1.0, 5.0],
        np.array([1, 5]), np.array([1, 5], np.uint8), np.array([1, 5], np.float32), np.array([1.0, 5.0]),
    ],
    ids=str,
)  # fmt: skip
def test_names_that_are_numbers_are_compared_as_numbers(cells: Any) -> None:
    assert numbers(STARS, cells) == [0, 4]


@pytest.mark.parametrize(
    "cell",
    [
        "0",
        "6",
        "1.5",
        "-1",
        "",
        " ",
        "NaN",
        "nan",
        "inf",
        "True",
        "1e0",
        0,
        6,
        True,
        False,
        2.5,
        float("nan"),
        "x",
    ],
)
def test_a_label_that_is_no_name_is_never_a_class_number(cell: Any) -> None:
    with pytest.raises(
        DataError, match=r"row 2: the label .* is out of range: expected one of 1, 2, 3, 4, 5"
    ):
        numbers(STARS, ["1", cell])


def test_names_written_as_floats_take_whole_labels() -> None:
    assert numbers(FLOATS, ["1", "2.0"]) == numbers(FLOATS, np.array([1, 2])) == [0, 1]
    assert numbers(("0.1", "0.2"), np.array([0.1, 0.2], np.float32)) == [0, 1]
    assert numbers(("3", "4", "5"), ["5"]) == [2]
    with pytest.raises(DataError, match="row 1: the label '1' is out of range: expected one of 3, 4, 5"):
        numbers(("3", "4", "5"), ["1"])


def test_one_number_among_the_names_is_enough() -> None:
    assert numbers(("1", "2", "unknown"), ["unknown", "2"]) == [2, 1]
    with pytest.raises(DataError, match="the label '0'"):
        numbers(("1", "2", "unknown"), ["0"])


def test_a_file_of_class_numbers_is_one_whatever_the_names_are() -> None:
    assert numbers(STARS, ["0", "4"], "numbers") == [0, 4]
    assert numbers(WORDS, np.array([0, 2]), "numbers") == [0, 2]
    with pytest.raises(DataError, match="row 1: the label '5' is out of range"):
        numbers(STARS, ["5"], "numbers")


def test_a_file_of_names_takes_no_class_number() -> None:
    assert numbers(STARS, ["5"], "names") == [4]
    with pytest.raises(DataError, match="the label '0'"):
        numbers(WORDS, ["0"], "names")


def test_class_numbers_beside_words_are_guessed_and_said() -> None:
    said: list[str] = []
    assert numbers(WORDS, ["0", " 2", "1.0"], say=said.append) == [0, 2, 1]
    assert len(said) == 1
    assert "Labels are taken for class numbers, from 0 (cat) to 2" in said[0]
    assert numbers(WORDS, ["dog", "T-shirt/top"], say=said.append) == [1, 2]
    assert len(said) == 1


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        (["0", "dog"], 2),
        (["dog", "0"], 2),
        (["0", ""], 2),
        (["Cat"], 1),
        (["3"], 1),
        ([True], 1),
        (["0.5"], 1),
        (["-1"], 1),
    ],
)
def test_what_contradicts_is_an_error_with_its_row(cells: list[Any], row: int) -> None:
    with pytest.raises(DataError, match=f"row {row}: the label"):
        numbers(WORDS, cells)


def test_later_rows_may_not_contradict_the_first_ones() -> None:
    labels = Labels(WORDS, 3)
    labels.numbers(np.array(["0", "1"], object), str)
    with pytest.raises(DataError, match=r"'dog' is out of range: .* in every row, as in those before"):
        labels.numbers(np.array(["dog"], object), str)


@pytest.mark.parametrize(
    "cells", [["0", "4"], ["0.0", "4.0"], np.array([0.0, 4.0]), np.array([0, 4], np.uint64)], ids=str
)
def test_without_names_labels_are_class_numbers(cells: Any) -> None:
    assert numbers(None, cells) == [0, 4]


@pytest.mark.parametrize("cell", ["5", "-1", "0.5", "nan", "", "x", "True"])
def test_without_names_nothing_else_is_a_label(cell: str) -> None:
    with pytest.raises(DataError, match="expected a number from 0 to 4"):
        numbers(None, [cell])


def test_true_and_false_are_names() -> None:
    assert numbers(("False", "True"), np.array([True, False])) == [1, 0]
    assert numbers(("False", "True"), ["True", "False"]) == [1, 0]
    with pytest.raises(DataError, match="the label True"):
        numbers(("0", "1"), np.array([True]))


def test_one_number_is_not_the_name_of_two_classes() -> None:
    with pytest.raises(DataError, match=r"'1' and '1\.0' are the same label"):
        numbers(("1", "1.0"), ["1"])


def test_a_folder_may_stand_for_a_name_with_a_slash() -> None:
    assert numbers(WORDS, ["T-shirt_top", "T-shirt-top", "T-shirttop"], folders=True) == [2, 2, 2]
    with pytest.raises(DataError, match="'T-shirt_top'"):
        numbers(WORDS, ["T-shirt_top"])


def test_integers_of_a_format_are_names_where_those_are_numbers() -> None:
    cells = np.array([1, 3], np.uint8)
    assert numbers(STARS, cells, "integers") == [0, 2]
    assert numbers(STARS, cells, "numbers") == [1, 3]
    assert numbers(("a", "b", "c", "d"), cells, "integers") == [1, 3]
    assert numbers(None, cells, "integers") == [1, 3]


@pytest.mark.parametrize("kind", ["M8[D]", "m8[s]", "c16", "V2"])
def test_labels_of_other_kinds_are_refused(kind: str) -> None:
    with pytest.raises(DataError, match="row 1: expected labels that are texts or numbers, got "):
        numbers(STARS, np.zeros(2, kind))


@pytest.mark.parametrize(
    ("names", "given", "moved"),
    [
        (("1", "2", "3"), "3.0,2.0,1.0", True),
        (("1", "2", "3"), "1.0,2.00,3", False),
        (("cat", "dog", "bird"), "dog,cat,wolf", True),
        (("cat", "dog", "bird"), "cat,dog,wolf", False),
        (("cat", "dog", "bird"), "a,b,c", False),
    ],
)
def test_a_class_of_the_card_is_in_its_place(
    tmp_path: Path, names: tuple[str, ...], given: str, moved: bool
) -> None:
    (tmp_path / "file.csv").write_text("width,label\n1,cat\n")
    examples = LabelledExamples(open_reader(tmp_path / "file.csv"), own=False)
    card = ModelCard(names, "file", Layout("table", (1,), "label", None, ("width",)), {}, {}, {})
    options = Namespace(
        class_names=given, task=None, signature="s", output=None, label_column=None, patience=1.0
    )
    if moved:
        with pytest.raises(InputError, match="has a class of that name in another place"):
            examples.settings(options, 1, card)
    else:
        assert examples.settings(options, 1, card).class_names == tuple(given.split(","))
