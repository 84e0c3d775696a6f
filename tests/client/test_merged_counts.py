"""What is counted of parts, merged, is what is counted of the whole, to the last bit, however it was divided."""

import itertools
import pickle
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from atelier_client.distributed.state import PartState
from atelier_client.errors import InputError
from atelier_client.evaluation import sums
from atelier_client.evaluation.classification.curves import Scores
from atelier_client.evaluation.classification.findings import ClassificationFindings
from atelier_client.evaluation.elements import Elements
from atelier_client.evaluation.multi_label.findings import MultiLabelFindings
from atelier_client.evaluation.regression.findings import RegressionFindings
from atelier_client.evaluation.slices import SliceMasks
from numpy.typing import NDArray

ROWS = 5000
RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, 1 << 30, ROWS)
NAMES = ("a", "b", "c", "d")


def softmax(rows: int) -> NDArray[Any]:
    # Rounded, so that there are ties, among the worst mistakes too.
    scores = np.exp(np.round(RANDOM.normal(0, 3, [rows, len(NAMES)]), 1)).astype(np.float32)
    return scores / scores.sum(axis=1, keepdims=True)


CASES: dict[str, tuple[Callable[[], Any], NDArray[Any], NDArray[Any]]] = {
    "classification": (lambda: ClassificationFindings(NAMES), RANDOM.integers(0, 4, ROWS), softmax(ROWS)),
    "regression": (
        RegressionFindings,
        np.round(RANDOM.normal(0, 10, ROWS)),
        np.round(RANDOM.normal(0, 10, ROWS)),
    ),
    "multi_label": (
        lambda: MultiLabelFindings(NAMES),
        RANDOM.integers(0, 2, [ROWS, 4]).astype(bool),
        RANDOM.random([ROWS, 4]).astype(np.float32),
    ),
}


def found(case: str, cuts: list[int]) -> Any:
    """The findings of the rows from the first cut to the last, added in the pieces between them."""
    make, labels, answers = CASES[case]
    findings = make()
    for low, high in itertools.pairwise(cuts):
        rows = slice(low, high)
        axes = int(case == "multi_label")
        inputs = {"x": X[rows]}
        findings.add(Elements.of(low, {}, inputs, labels[rows], answers[rows], axes=axes))
    return findings


def worst(findings: Any) -> list[tuple[int, Any]]:
    kept = findings.mistakes.worst if isinstance(findings, ClassificationFindings) else findings.worst
    return [(item.index, item.inputs["x"]) for item in kept]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [1, 2])
def test_parts_add_up_to_the_whole(case: str, seed: int) -> None:
    whole = found(case, [0, *range(700, ROWS, 700), ROWS])
    random = np.random.default_rng(seed)
    cuts = [0, *sorted(random.choice(ROWS - 1, 6, replace=False) + 1), ROWS]
    merged = CASES[case][0]()
    for low, high in itertools.pairwise(map(int, cuts)):
        part = PartState(found(case, [low, (low + high + 1) // 2, high]), {}, {}, [], high - low)
        merged.merge(PartState.unpacked(part.packed()).findings)
    assert merged.document() == whole.document()
    assert worst(merged) == worst(whole)


@pytest.mark.parametrize("exact", [0, 9000, 10**9])
def test_scores_that_are_too_many_to_keep_are_binned_alike(exact: int) -> None:
    _, labels, answers = CASES["classification"]
    whole, merged = Scores(4, exact), Scores(4, exact)
    whole.add(answers, labels)
    for rows in (slice(0, 1), slice(1, 2000), slice(2000, ROWS)):
        part = Scores(4, exact)
        part.add(answers[rows], labels[rows])
        if exact < ROWS * 4:
            part.count()
        merged.merge(part)
    assert merged.exact == whole.exact == (exact > ROWS * 4)
    for got, wanted in zip(merged.curves(), whole.curves(), strict=True):
        assert (got.positives == wanted.positives).all()
        assert (got.negatives == wanted.negatives).all()


def test_a_sum_does_not_depend_on_the_order_and_is_exact_enough() -> None:
    values = RANDOM.exponential(3, 10_000)
    total = sums.units(values)
    assert total == sums.units(values[::-1]) == sums.units(values[:17]) + sums.units(values[17:])
    assert sums.as_float(total) == pytest.approx(values.sum(), rel=1e-12)
    shares, at = RANDOM.random(10_000), RANDOM.integers(0, 7, 10_000)
    by_bin = sums.units_by_bin(shares, at, 7)
    assert by_bin.tolist() == [sums.units(shares[at == number]) for number in range(7)]


def test_slices_of_parts_may_have_too_many_values_together() -> None:
    masks = SliceMasks(["region"])
    for part in range(2):
        masks.know({"region": {f"{part}-{number}" for number in range(25)}})
    with pytest.raises(InputError, match="slice region: the column has more than 50 different values"):
        masks.know({"region": {"one more"}})


class _Runs:
    def __reduce__(self) -> Any:
        return print, ("it ran",)


@pytest.mark.parametrize(
    "data",
    [b"", b"no counts", zlib.compress(b""), zlib.compress(b"text"), zlib.compress(pickle.dumps(_Runs()))],
)
def test_bytes_that_are_no_counts_are_refused_and_run_nothing(
    data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="no counts of a part"):
        PartState.unpacked(data)
    assert capsys.readouterr().out == ""
