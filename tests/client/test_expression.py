"""Slices choose what their expression says, and an expression can do nothing else."""

from typing import Any

import numpy as np
import pytest
from atelier_client.errors import InputError
from atelier_client.evaluation.classification.metrics import MetricCounts
from atelier_client.evaluation.expression import ClassColumn, Expression
from atelier_client.evaluation.slices import Slices
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

COLUMNS: dict[str, NDArray[Any] | ClassColumn] = {
    "label": ClassColumn(np.array([0, 1, 2, 1]), ("Shirt", "Coat", "Bag")),
    "predicted": ClassColumn(np.array([0, 2, 2, 1]), ("Shirt", "Coat", "Bag")),
    "confidence": np.array([0.9, 0.4, 0.6, 0.5]),
    "age": np.array(["30", "4", "71", "18"], object),
    "region": np.array([b"north", b"south", b"north", b"east"], object),
    "petal width (cm)": np.array([1.0, 2.0, 3.0, 4.0]),
}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("label == 1", "0101"),
        ("label == 'Coat'", "0101"),
        ("'Coat' == label", "0101"),
        ("label in ('Coat', 'Bag') and confidence < 0.5", "0100"),
        ("label not in [0]", "0111"),
        ("label == predicted", "1011"),
        ("not label == predicted", "0100"),
        ("label != predicted or confidence >= .9", "1100"),
        ("0.4 < confidence <= 0.6", "0011"),
        ("age < 18", "0100"),
        ("age % 2 == 0 and age - 4 > 0", "1001"),
        ("-confidence * 2 < -1", "1010"),
        ("region == 'north'", "1010"),
        ("region in ('east', 'south')", "0101"),
        ("len(region) == 4", "0001"),
        ("`petal width (cm)` / 2 > 1", "0011"),
        ("age == '4'", "0100"),
    ],
)
def test_an_expression_holds_for_the_rows_it_says(text: str, rows: Any) -> None:
    assert Expression(text).mask(COLUMNS).tolist() == [sign == "1" for sign in rows]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is no expression"),
        ("label ==", "it is no expression"),
        ("label = 1", "it is no expression"),
        ("lable == 1", "there is no column 'lable'. Did you mean 'label'?"),
        ("label == 'Shrt'", "there is no class 'Shrt'. Did you mean 'Shirt'?"),
        ("label + 1", "expected a condition"),
        ("label == 1 / 0", "1 / 0: division by zero"),
        ("label & 1", "write `and` and `or`"),
        ("(label == 1) & (age > 3)", "write `and` and `or`"),
        ("__import__('os').system('true')", "is not understood here"),
        ("label.__class__ == 1", "is not understood here"),
        ("(lambda: 1)() == 1", "is not understood here"),
        ("[x for x in label] == 1", "is not understood here"),
        ("label[0] == 1", "is not understood here"),
        ("len(region, 2) == 1", "is not understood here"),
        ("9 ** 9 ** 9 == confidence", "is not understood here"),
        ("f'{label}' == 1", "is not understood here"),
        ("region < 3", "text is used as numbers"),
        ("len(confidence) > 1", "numbers is used as text"),
        ("label is 1", "write =="),
        ("label in 3", "wants a list"),
        ("confidence and label == 1", "confidence is no condition"),
        ("(" * 500 + "label" + ")" * 500, "it is no expression"),
        ("label == 1" + " or label == 2" * 200, "it is too long"),
    ],
)
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_what_is_not_understood_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        Expression(text).mask(COLUMNS)
    assert said in str(error.value)


@given(st.text(max_size=40))
@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_no_text_does_anything_but_choose_rows_or_be_refused(text: str) -> None:
    try:
        mask = Expression(text).mask(COLUMNS)
    except InputError:
        return
    assert mask.dtype == bool


def test_the_slices_of_a_column_add_up_to_the_whole() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 900)
    probabilities = random.dirichlet([1, 1, 1], 900).astype(np.float32)
    region = np.array([b"north", b"south", b"east"], object)[random.integers(0, 3, 900)]
    names, slices, whole = (
        ("a", "b", "c"),
        Slices(["region", "label", "confidence > 2", "row < 90"], lambda: MetricCounts(3)),
        MetricCounts(3),
    )
    for first in range(0, 900, 70):
        part = slice(first, first + 70)
        columns = {
            "region": region[part],
            "label": ClassColumn(labels[part], names),
            "confidence": probabilities[part].max(axis=1),
            "row": np.arange(900)[part],
        }
        slices.add(columns, probabilities[part], labels[part])
        whole.add(probabilities[part], labels[part])
    rows = {row["name"]: row for row in slices.rows(whole, "accuracy", ("accuracy", "loss"))}
    for column in ("region", "label"):
        parts = [row for name, row in rows.items() if name.startswith(f"{column} = ")]
        assert len(parts) == 3
        assert sum(row["examples"] for row in parts) == 900
        right = sum(row["examples"] * row["metrics"]["accuracy"] for row in parts)
        assert right == pytest.approx(900 * whole.metrics()[0]["accuracy"])
    assert rows["confidence > 2"]["examples"] == 0
    assert rows["row < 90"]["examples"] == 90
    right = probabilities[:90].argmax(axis=1) == labels[:90]
    assert rows["row < 90"]["metrics"]["accuracy"] == pytest.approx(right.mean())


def test_a_column_of_many_values_is_refused() -> None:
    columns = {"x": np.arange(60)}
    with pytest.raises(InputError, match="more than 50 different values"):
        Slices(["x"], lambda: MetricCounts(2)).check(columns)


def test_where_classes_are_called_by_numbers_a_number_is_a_name() -> None:
    stars = ClassColumn(np.array([0, 4, 1]), ("1", "2", "5", "4", "3.0"))
    for text, mask in (
        ("label == 1", [True, False, False]),
        ("label == '1.0'", [True, False, False]),
        ("label in (2, 3)", [False, True, True]),
        ("label > 1.5", [False, True, True]),
        ("label == 0", [False, False, False]),
        ("label != predicted", [False, False, False]),
    ):
        assert Expression(text).mask({"label": stars, "predicted": stars}).tolist() == mask, text
