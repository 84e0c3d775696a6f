"""The statistics of drift: SciPy is the judge of the distances and tests, simulation that of the intervals."""

from __future__ import annotations

import numpy as np
import pytest
from atelier_client.drift import verdict
from atelier_client.drift.column import Column, Counts, column_of
from atelier_client.drift.distances import (
    chi_square_tail,
    distance,
    homogeneity,
    jensen_shannon,
    rates,
    wasserstein,
)
from atelier_client.drift.estimate import Calibration, Confidences
from scipy import stats
from scipy.spatial.distance import jensenshannon

# With so many examples nothing is left of what chance adds, and so of what is taken off for it.
MANY = 10**15
# Of 400 intervals that hold the truth in 95 of 100 cases, fewer do so in one run of a thousand.
LEAST = 0.915
Random = np.random.Generator


@pytest.fixture
def random() -> Random:
    return np.random.default_rng(0)


@pytest.mark.parametrize("cells", [2, 5, 40])
def test_the_jensen_shannon_distance_is_scipys(random: Random, cells: int) -> None:
    for _ in range(20):
        first, second = (random.dirichlet(np.full(cells, 0.4)) for _ in range(2))
        counts = [np.round(shares * MANY).astype(np.int64) for shares in (first, second)]
        found = jensen_shannon(*counts).value
        assert found == pytest.approx(jensenshannon(first, second, base=2), abs=1e-9)
    assert jensen_shannon(np.array([9, 0]), np.array([0, 7])).value == pytest.approx(1.0)


def test_the_wasserstein_distance_is_scipys_also_beyond_the_edges(random: Random) -> None:
    edges = np.array([0.0, 1.0, 2.5, 4.0, 9.0])
    column = Column("x", "input", "number", edges, spread=2.0)
    for _ in range(20):
        first = random.choice(edges, 50)
        second = np.concatenate([random.choice(edges, 30), random.normal(20, 5, 20), [-3.0, -1.0]])
        second[30:50] = np.maximum(second[30:50], 9.5)
        ours = [column.count(np.repeat(values, 1)) for values in (first, second)]
        many = [
            Counts(side.cells * 10**12, side.below * 10**12, side.above * 10**12, side.total * 10**12)
            for side in ours
        ]
        expected = stats.wasserstein_distance(first, second) / 2.0
        assert wasserstein(column, *many).value == pytest.approx(expected, rel=1e-6)


def test_the_difference_of_rates_has_newcombes_interval() -> None:
    # Newcombe 1998, table II, comparison (a), method 10: 56/70 less 48/80.
    found = rates(Counts(np.array([48, 32])), Counts(np.array([56, 14])))
    assert found.value == pytest.approx(0.2)
    assert found.interval == pytest.approx((0.0524, 0.3339), abs=5e-5)
    table = [[48, 32], [56, 14]]
    assert found.chance == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=1e-12)


def test_the_tail_of_chi_square_is_scipys() -> None:
    for freedom in (1, 2, 3, 4, 9, 30, 101):
        for value in (0.0, 0.3, 4.0, 30.0, 200.0):
            assert chi_square_tail(value, freedom) == pytest.approx(stats.chi2.sf(value, freedom), rel=1e-9)


def test_the_test_of_homogeneity_is_scipys_where_no_cell_is_rare() -> None:
    table = np.array([[20, 33, 47, 100], [30, 31, 60, 79]], np.float64)
    assert homogeneity(table) == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    # Rare cells are put together: three more of one example each change little.
    rare = np.hstack([table, [[1, 0, 1], [0, 1, 0]]])
    assert homogeneity(rare) == pytest.approx(homogeneity(table), abs=0.1)


def test_the_false_discoveries_are_scipys(random: Random) -> None:
    for _ in range(50):
        chances = np.concatenate([random.uniform(size=8), random.uniform(size=3) * 1e-3])
        real = stats.false_discovery_control(chances) <= verdict.FALSE_DISCOVERIES
        assert verdict._discoveries(chances.tolist()) == real.tolist()


def _covered(column: Column, draw_before: object, draw_now: object, truth: float, runs: int = 400) -> float:
    inside = 0
    for _ in range(runs):
        low, high = distance(column, draw_before(), draw_now()).interval  # type: ignore[operator]
        inside += low <= truth <= high
    return inside / runs


@pytest.mark.parametrize("move", [0.0, 0.03, 0.15])
def test_the_intervals_of_categories_cover_the_truth(random: Random, move: float) -> None:
    before = np.array([0.3, 0.2, 0.2, 0.15, 0.1, 0.05])
    now = before + move * np.array([-1, 1, -0.5, 0.5, 0, 0])
    column = Column("city", "input", "category", categories=("a", "b", "c", "d"))

    def draw(shares: np.ndarray, size: int) -> Counts:
        return Counts(random.multinomial(size, shares))

    truth = float(jensenshannon(before, now, base=2)) if move else 0.0
    assert _covered(column, lambda: draw(before, 5000), lambda: draw(now, 1000), truth) >= LEAST


@pytest.mark.parametrize("move", [0.0, 0.05, 0.2, 4.0])
def test_the_intervals_of_numbers_cover_the_truth(random: Random, move: float) -> None:
    column = column_of("x", "input", "number", random.normal(size=100_000))

    def draw(centre: float, size: int) -> Counts:
        return column.count(random.normal(centre, 1.0, size))

    # Between the edges values count at the upper one: the truth is that of very many examples.
    truth = distance(column, draw(0.0, 2_000_000), draw(move, 2_000_000)).value
    assert truth == pytest.approx(move, abs=0.01 + 0.04 * move)
    assert _covered(column, lambda: draw(0.0, 5000), lambda: draw(move, 1000), truth) >= LEAST


def test_the_intervals_of_rates_cover_the_truth(random: Random) -> None:
    column = Column("inverted", "picture", "share")

    def draw(rate: float, size: int) -> Counts:
        true = int(random.binomial(size, rate))
        return Counts(np.array([true, size - true]))

    assert _covered(column, lambda: draw(0.02, 5000), lambda: draw(0.07, 300), 0.05) >= LEAST


def test_a_distance_does_not_depend_on_how_many_examples_there_are(random: Random) -> None:
    """What users of other tools complain of: the more examples, the more columns are called changed."""
    before = np.full(10, 0.1)
    now = before + 0.03 * np.array([1, -1] * 5)
    truth = float(jensenshannon(before, now, base=2))
    column = Column("x", "output", "category", categories=tuple("abcdefgh"))
    for size in (300, 3000, 30_000):
        found = [
            distance(
                column, Counts(random.multinomial(20_000, before)), Counts(random.multinomial(size, now))
            ).value
            for _ in range(200)
        ]
        assert np.mean(found) == pytest.approx(truth, abs=0.01)


def test_unchanged_windows_are_stable_and_small_ones_are_too_few(random: Random) -> None:
    columns = [column_of(f"x{number}", "input", "number", random.normal(size=5000)) for number in range(10)]
    columns += [
        Column(f"c{number}", "input", "category", categories=tuple("abcdefgh")) for number in range(5)
    ]

    def counted(size: int) -> list[Counts]:
        return [
            column.count(random.normal(size=size))
            if column.kind == "number"
            else Counts(random.multinomial(size, np.full(10, 0.1)))
            for column in columns
        ]

    reference = counted(5000)
    verdicts = [
        verdict.overall(verdict.compare(columns, reference, counted(1000), outputs_alone=False))
        for _ in range(300)
    ]
    assert verdicts.count("changed") <= 3
    assert verdicts.count("stable") >= 285
    few = verdict.compare(columns, reference, counted(40), outputs_alone=False)
    assert {one.verdict for one in few} == {"too few"}


@pytest.mark.parametrize(
    ("examples", "asked"), [(100, 50), (100, 1000), (100, 5000), (400, 50), (2000, 50), (2000, 1000)]
)
def test_a_small_reference_raises_no_more_false_alarms_than_a_large_one(
    random: Random, examples: int, asked: int
) -> None:
    """The reference fixes the edges itself. In 500 windows five alarms are 1 %; 14 or more come once in 1,500 then."""
    alarms = 0
    for _ in range(500):
        before, now = (
            {
                **{f"p{place}": random.beta(0.4, 1.5, size) for place in range(4)},
                "age": random.normal(size=size),
                "income": random.lognormal(size=size),
                "city": random.choice(np.array(["", *"abcdefg"], object), size, p=np.arange(1, 9) / 36),
            }
            for size in (examples, asked)
        )
        columns = [
            column_of(
                name,
                "output" if name[0] == "p" else "input",
                "category" if name == "city" else "number",
                values,
            )
            for name, values in before.items()
        ]
        compared = verdict.compare(
            columns,
            [column.count(before[column.name]) for column in columns],
            [column.count(now[column.name]) for column in columns],
            outputs_alone=False,
        )
        changed = [one for one in compared if one.verdict == "changed"]
        alarms += bool(changed)
        for one in changed:
            assert one.difference
            assert one.difference.distance.interval[0] > 0
    assert alarms < 14


def test_the_band_of_the_estimated_accuracy_covers_the_real_one(random: Random) -> None:
    """Of calibrated answers: a confidence of p is right with the probability p."""
    inside = 0
    for _ in range(300):
        confidence = random.uniform(0.5, 1.0, 2000)
        right = random.uniform(size=2000) < confidence
        edges = np.quantile(confidence, np.arange(1, 20) / 20)
        place = np.searchsorted(edges, confidence)
        counts = np.bincount(place)
        calibration = Calibration(
            np.bincount(place, confidence) / counts, np.bincount(place, right) / counts, counts
        )
        now = random.beta(5, 2, 1000) / 2 + 0.5
        real = float((random.uniform(size=1000) < now).mean())
        answers = Confidences()
        calibration.add(answers, np.column_stack([now, 1 - now]))
        low, high = calibration.estimate(answers)[1]
        inside += low <= real <= high
    assert inside / 300 >= 0.92
