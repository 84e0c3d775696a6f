"""What the gate decides: each threshold with exact numbers, and how often noise is taken for a difference."""

import io
import json
import sys
from typing import Any

import numpy as np
import pytest
from atelier_client.cli.tables import print_verdict
from atelier_client.comparison.counts import PairCounts
from atelier_client.comparison.mcnemar import PairedAccuracy
from atelier_client.evaluation.classification.metrics import MetricCounts
from atelier_client.gate.latency import p99
from atelier_client.gate.measured import Change, Measured, Measurement, Part, part_of
from atelier_client.gate.rule import LATENCY, SIZE, ChangeThreshold, Rule, ValueThreshold
from atelier_client.gate.rules import Rules
from atelier_client.gate.verdict import Verdict, judge
from scipy.stats import binom

DEFAULT = Rules()


def accuracy_of(paired: PairedAccuracy) -> Measurement:
    value = (paired.both + paired.only_b) / paired.examples
    stable = (paired.both + paired.only_a) / paired.examples
    change = Change.of(stable, paired.difference, paired.interval(), paired)
    return Measurement(value, (value - 0.01, value + 0.01), change)


def compared(paired: PairedAccuracy, **more: Any) -> Measured:
    whole = Part(None, paired.examples, {"accuracy": accuracy_of(paired), **more.pop("metrics", {})})
    return Measured(8, 7, whole, **more)


def rules_of(*metrics: Rule, **more: Any) -> Rules:
    return Rules(metrics=metrics, **more)


def change(metric: str, interval: tuple[float, float], stable: float = 0.5) -> Measurement:
    difference = sum(interval) / 2
    return Measurement(stable + difference, None, Change.of(stable, difference, interval))


def outcome(rule: Rule, measurement: Measurement) -> Any:
    verdict = judge(rules_of(rule), Measured(8, 7, Part(None, 1000, {rule.metric: measurement})))
    return verdict.checks[0]


def test_a_better_candidate_is_blessed_with_its_numbers() -> None:
    verdict = judge(DEFAULT, compared(PairedAccuracy(8600, 200, 300, 900)))
    assert (verdict.name, verdict.exit_code) == ("blessed", 0)
    assert verdict.sentence.startswith(
        "Version 8 is blessed against version 7 on 10,000 examples: accuracy 0.8900, "
    )
    assert "in stable 0.8800, change +0.0100 (95 %: +0.0056 to +0.0144; " in verdict.sentence
    assert "300 examples right only now, 200 only in stable; McNemar: p = 8.9e-06)" in verdict.sentence
    assert verdict.sentence.endswith("wanted a change above 0.")


def test_a_worse_candidate_is_rejected() -> None:
    verdict = judge(DEFAULT, compared(PairedAccuracy(8600, 300, 200, 900)))
    assert (verdict.name, verdict.exit_code) == ("rejected", 1)
    assert "change -0.0100" in verdict.sentence


def test_what_the_examples_do_not_tell_is_held_and_says_how_many_would() -> None:
    paired = PairedAccuracy(860, 20, 30, 90)
    verdict = judge(DEFAULT, compared(paired))
    assert (verdict.name, verdict.exit_code) == ("inconclusive", 4)
    needed = paired.examples_needed()
    assert needed is not None
    assert verdict.checks[0].more_examples == needed - 1000 == 2923
    assert "about 2,923 more examples would decide at this difference" in verdict.sentence


def test_equal_answers_are_held_by_the_default_and_passed_by_a_margin() -> None:
    same = compared(PairedAccuracy(8800, 0, 0, 1200))
    verdict = judge(DEFAULT, same)
    assert verdict.name == "inconclusive"
    assert verdict.checks[0].more_examples is None
    assert "no number of examples would decide" in verdict.sentence
    margin = rules_of(Rule("accuracy", change=ChangeThreshold(absolute=-0.01)))
    assert judge(margin, same).name == "blessed"
    # Equal, with as much noise, on too few examples for the margin.
    few = judge(margin, compared(PairedAccuracy(860, 30, 30, 80)))
    assert few.name == "inconclusive"
    assert few.checks[0].more_examples is not None
    assert judge(margin, compared(PairedAccuracy(8600, 300, 300, 800))).name == "blessed"
    # Within the margin and certainly worse than stable: the rule allows it.
    worse = PairedAccuracy(86_000, 2_500, 2_000, 9_500)
    assert worse.better() == "a"
    assert judge(margin, compared(worse)).name == "blessed"


def test_the_number_of_examples_that_a_margin_asks_for_is_right() -> None:
    """With so many, a simulation decides in about four of five cases."""
    margin = rules_of(Rule("accuracy", change=ChangeThreshold(absolute=-0.01)))
    check = judge(margin, compared(PairedAccuracy(860, 30, 30, 80))).checks[0]
    assert check.more_examples
    random = np.random.default_rng(6)
    drawn = random.multinomial(1000 + check.more_examples, [0.86, 0.03, 0.03, 0.08], 1000)
    blessed = sum(judge(margin, compared(PairedAccuracy(*row.tolist()))).name == "blessed" for row in drawn)
    assert 0.72 <= blessed / 1000 <= 0.88


@pytest.mark.parametrize(
    ("interval", "absolute", "relative", "expected"),
    [
        ((0.001, 0.02), 0.0, None, "passed"),
        ((0.0, 0.0), 0.0, None, "inconclusive"),
        ((-0.001, 0.02), 0.0, None, "inconclusive"),
        ((-0.02, -0.001), 0.0, None, "rejected"),
        ((-0.009, 0.02), -0.01, None, "passed"),
        ((-0.03, -0.011), -0.01, None, "rejected"),
        ((0.001, 0.009), 0.01, None, "rejected"),
        # Of stable's 0.5 a change of 0.004 is 0.8 %.
        ((-0.004, 0.0), None, -0.01, "passed"),
        ((-0.006, 0.0), None, -0.01, "inconclusive"),
        ((-0.02, -0.006), None, -0.01, "rejected"),
    ],
)
def test_a_change_passes_when_its_whole_interval_is_on_the_good_side(
    interval: Any, absolute: Any, relative: Any, expected: str
) -> None:
    threshold = ChangeThreshold(absolute, relative)
    higher = outcome(Rule("macro_f1", change=threshold), change("macro_f1", interval))
    assert higher.outcome == expected
    # Of the loss, lower is better: the same with every sign turned.
    turned = ChangeThreshold(*(None if bound is None else -bound for bound in (absolute, relative)))
    lower = outcome(Rule("loss", change=turned), change("loss", (-interval[1], -interval[0])))
    assert lower.outcome == expected


def test_a_relative_change_of_nothing_cannot_be_told() -> None:
    check = outcome(
        Rule("loss", change=ChangeThreshold(relative=0.1)), change("loss", (0.1, 0.2), stable=0.0)
    )
    assert check.outcome == "not_evaluated"
    assert "stable's value is 0" in check.clause


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.8, None, "passed"), (0.801, None, "rejected"), (None, 0.8, "passed"), (None, 0.799, "rejected")],
)
def test_a_value_decides_by_itself_and_says_when_the_bound_is_within_its_interval(
    low: Any, high: Any, expected: str
) -> None:
    rule = Rule("accuracy", value=ValueThreshold(low, high))
    check = outcome(rule, Measurement(0.8, (0.71, 0.87)))
    assert check.outcome == expected
    assert "(the bound lies within the interval of 1,000 examples)" in check.clause
    assert (
        "within"
        not in outcome(Rule("accuracy", value=ValueThreshold(0.5)), Measurement(0.8, (0.7, 0.9))).clause
    )


def test_a_size_is_exact() -> None:
    def sized(candidate: float, *rule: Any) -> Verdict:
        difference = candidate - 100.0
        size = Measurement(
            candidate, (candidate, candidate), Change.of(100.0, difference, (difference, difference))
        )
        return judge(Rules(metrics=(), size=Rule(SIZE, None, *rule)), Measured(8, 7, size=size))

    none_more = ChangeThreshold(relative=0.0)
    assert sized(100.0, None, none_more).name == "blessed"
    assert sized(100.1, None, none_more).name == "rejected"
    assert sized(150.0, None, ChangeThreshold(relative=0.5)).name == "blessed"
    assert sized(120.0, None, ChangeThreshold(absolute=20.0)).name == "blessed"
    assert sized(500.0, ValueThreshold(upper_bound=500.0)).name == "blessed"
    rejected = sized(501.5, ValueThreshold(upper_bound=500.0))
    assert (
        rejected.sentence
        == "Version 8 is rejected against version 7: size_mb 501.50 MB, wanted at most 500 MB."
    )


def test_a_latency_is_compared_at_the_same_moments() -> None:
    random = np.random.default_rng(1)
    # Pauses of the machine, which both meet, are most of what is seen.
    pauses = np.where(random.random(1000) < 0.03, random.exponential(30, 1000), 0.0)
    stable = 2 + random.exponential(0.1, 1000) + pauses
    rule = Rule(LATENCY, change=ChangeThreshold(relative=0.5))

    def judged(candidate: Any) -> Verdict:
        measured = Measured(8, 7, latency=p99(candidate, stable), requests=1000)
        return judge(Rules(metrics=(), latency=rule), measured)

    equal = judged(2 + random.exponential(0.1, 1000) + pauses)
    assert equal.name == "blessed"
    assert equal.checks[0].stable == pytest.approx(np.percentile(stable, 99))
    slow = judged(stable * 3)
    assert slow.name == "rejected"
    assert slow.checks[0].measured == pytest.approx(2.0)
    assert (
        "change +200.0 % (95 %: +200.0 % to +200.0 %)" in slow.sentence or "change +200.0 %" in slow.sentence
    )
    held = judged(2 + random.exponential(8, 1000))
    assert {held.name} <= {"inconclusive", "rejected"}
    assert p99(stable, stable).change == Change(equal.checks[0].stable or 0, 0.0, (0.0, 0.0), (0.0, 0.0))


def test_what_is_observed_is_shown_and_decides_nothing() -> None:
    rules = rules_of(
        Rule("accuracy", change=ChangeThreshold(absolute=0.0), observe=True),
        Rule("loss", value=ValueThreshold(upper_bound=0.1), observe=True),
        Rule("ece", observe=True),
    )
    loss = Measurement(0.5, (0.4, 0.6), Change.of(0.4, 0.1, (0.05, 0.15)))
    verdict = judge(rules, compared(PairedAccuracy(80, 20, 0, 0), metrics={"loss": loss}))
    assert verdict.name == "blessed"
    assert verdict.sentence.endswith("no rule decides about it.")
    accuracy, bound, calibration = verdict.checks[:3]
    assert (accuracy.outcome, accuracy.observed, accuracy.candidate) == ("rejected", True, 0.8)
    assert (bound.outcome, bound.observed) == ("rejected", True)
    assert (calibration.outcome, calibration.observed) == ("not_evaluated", True)


def test_one_rejecting_check_outweighs_what_is_not_measured_and_that_what_is_not_decided() -> None:
    better, unknown = PairedAccuracy(8600, 200, 300, 900), PairedAccuracy(860, 20, 30, 90)
    bound = Rule("accuracy", value=ValueThreshold(0.99))
    missing = Rule("precision", value=ValueThreshold(0.1))
    default = DEFAULT.for_task("classification")[0]
    names = {
        "rejected": (rules_of(default, missing, bound), unknown),
        "not_evaluated": (rules_of(default, missing), unknown),
        "inconclusive": (rules_of(default, Rule("accuracy", value=ValueThreshold(0.5))), unknown),
        "blessed": (rules_of(default, Rule("accuracy", value=ValueThreshold(0.5))), better),
    }
    codes = {"rejected": 1, "not_evaluated": 1, "inconclusive": 4, "blessed": 0}
    for name, (rules, paired) in names.items():
        verdict = judge(rules, compared(paired))
        assert (verdict.name, verdict.exit_code) == (name, codes[name])
    verdict = judge(rules_of(missing), compared(better))
    assert (
        "precision was not measured: it cannot be measured of this model, only accuracy" in verdict.sentence
    )


def test_a_first_version_has_no_baseline_and_still_has_to_reach_the_values() -> None:
    whole = Part(None, 500, {"accuracy": Measurement(0.8, (0.76, 0.83))})
    first = judge(DEFAULT, Measured(1, None, whole))
    assert first.sentence == "Version 1 is blessed on 500 examples: there is no baseline to compare with."
    assert first.checks[0].outcome == "no_baseline"
    rule = Rule("accuracy", value=ValueThreshold(0.75), change=ChangeThreshold(absolute=0.0))
    reached = judge(rules_of(rule), Measured(1, None, whole))
    assert (
        "there is no baseline to compare with; accuracy 0.8000 (95 %: 0.7600 to 0.8300)" in reached.sentence
    )
    missed = judge(rules_of(Rule("accuracy", value=ValueThreshold(0.9))), Measured(1, None, whole))
    assert missed.name == "rejected"
    # Nothing can be measured: nothing is asked by the default rules either.
    assert judge(DEFAULT, Measured(1, None, reason="there are no labelled examples")).name == "blessed"
    unmeasured = judge(rules_of(rule), Measured(1, None, reason="there are no labelled examples"))
    assert unmeasured.name == "not_evaluated"
    assert unmeasured.sentence.endswith("accuracy was not measured: there are no labelled examples.")


def test_a_slice_has_rules_of_its_own() -> None:
    rules = rules_of(
        DEFAULT.for_task("classification")[0],
        Rule("accuracy", "label == 'Shirt'", value=ValueThreshold(0.5)),
        Rule("accuracy", "region", change=ChangeThreshold(absolute=-0.1)),
        Rule("accuracy", "row > 9", value=ValueThreshold(0.5)),
    )
    shirts = Part("label == 'Shirt'", 10, {"accuracy": accuracy_of(PairedAccuracy(3, 1, 1, 5))})
    north = Part("region = north", 1000, {"accuracy": accuracy_of(PairedAccuracy(860, 20, 30, 90))})
    south = Part("region = south", 1000, {"accuracy": accuracy_of(PairedAccuracy(660, 230, 20, 90))})
    slices = {"label == 'Shirt'": (shirts,), "region": (north, south), "row > 9": (Part("row > 9", 0, {}),)}
    verdict = judge(rules, compared(PairedAccuracy(8600, 200, 300, 900), slices=slices))
    assert [check.outcome for check in verdict.checks[:5]] == [
        "passed", "rejected", "passed", "rejected", "not_evaluated",
    ]  # fmt: skip
    assert "accuracy of slice \"label == 'Shirt'\" 0.4000" in verdict.sentence
    assert 'accuracy of slice "region = south" 0.6800' in verdict.sentence
    assert "the slice holds no examples" in verdict.checks[4].clause


def test_the_rate_of_false_promotions_is_at_most_25_in_a_thousand() -> None:
    """Exactly: of equal models each discordant example is as likely the one's as the other's."""
    numbers = [*range(1, 200), *range(980, 1020), 1500, 4000, 9999, 10_000, 50_000, 200_000]
    for pairs in numbers:
        wins = next(
            (
                pairs // 2 + more
                for more in range(pairs - pairs // 2 + 1)
                if PairedAccuracy(10, pairs - pairs // 2 - more, pairs // 2 + more, 10).better() == "b"
            ),
            pairs + 1,
        )
        assert binom.sf(wins - 1, pairs, 0.5) <= 0.025


def test_of_thousands_of_equal_models_few_are_promoted() -> None:
    """A thousand each, of models that differ much, as usual and hardly, on few examples and on many."""
    random = np.random.default_rng(11)
    names = [
        judge(DEFAULT, compared(PairedAccuracy(*row.tolist()))).name
        for shares in ([0.5, 0.2, 0.2, 0.1], [0.86, 0.03, 0.03, 0.08], [0.94, 0.005, 0.005, 0.05])
        for examples in (1000, 10_000)
        for row in random.multinomial(examples, shares, 1000)
    ]
    assert names.count("blessed") <= 0.025 * len(names)
    assert names.count("rejected") <= 0.025 * len(names)


def test_a_point_more_on_ten_thousand_examples_is_promoted() -> None:
    """The power that docs/releases.md states."""
    random = np.random.default_rng(12)
    for changed, at_least in ((0.05, 0.97), (0.08, 0.90), (0.12, 0.78)):
        shares = [0.88 - (changed - 0.01) / 2, (changed - 0.01) / 2, (changed + 0.01) / 2, 0.0]
        shares[3] = 1 - sum(shares)
        drawn = random.multinomial(10_000, shares, 1000)
        names = [judge(DEFAULT, compared(PairedAccuracy(*row.tolist()))).name for row in drawn]
        assert names.count("blessed") >= 1000 * at_least
        assert names.count("rejected") == 0


def test_noise_of_a_tenth_of_a_point_neither_blocks_nor_promotes() -> None:
    """A point in a thousand less or more, with 5 % of the examples changed."""
    margin = rules_of(Rule("accuracy", change=ChangeThreshold(absolute=-0.01)))
    for only_a, only_b in ((255, 245), (245, 255)):
        measured = compared(PairedAccuracy(8600, only_a, only_b, 900))
        assert judge(DEFAULT, measured).name == "inconclusive"
        assert judge(margin, measured).name == "blessed"


@pytest.mark.parametrize("classes", [2, 4])
def test_the_metrics_of_the_counts_are_those_of_both_measures(classes: int) -> None:
    random = np.random.default_rng(classes)
    labels = random.integers(0, classes, 300)
    a, b = (random.dirichlet(np.ones(classes), 300) for _ in range(2))
    single, pairs = MetricCounts(classes), PairCounts(classes)
    single.add(b, labels)
    pairs.add(labels, a, b)
    part = part_of(None, single, pairs)
    for row in pairs.differences():
        found = part.metrics[row.name]
        assert found.change is not None
        assert found.value == pytest.approx(row.b)
        assert (found.change.stable, found.change.interval) == (row.a, row.interval)
        low, high = found.interval or (1, 0)
        assert low <= found.value <= high
    assert ("f1" in part.metrics) == (classes == 2)
    assert "ece" in part_of(None, single, None).metrics
    assert part_of("none", MetricCounts(classes), None) == Part("none", 0, {})


def test_the_document_is_plain_json_and_the_table_shows_every_check(monkeypatch: pytest.MonkeyPatch) -> None:
    size = Measurement(1.5, (1.5, 1.5), Change.of(1.0, 0.5, (0.5, 0.5)))
    measured = compared(
        PairedAccuracy(860, 20, 30, 90), size=size, dataset={"name": "[red]x.csv", "sha256": "0"}
    )
    verdict = judge(
        rules_of(DEFAULT.for_task("classification")[0], Rule("precision", "a > 1", observe=True)), measured
    )
    document = json.loads(json.dumps(verdict.document(), allow_nan=False))
    assert document["verdict"] == "inconclusive"
    assert document["sentence"] == verdict.sentence
    first = document["checks"][0]
    assert first["threshold"] == {"absolute": 0.0}
    assert first["outcome"] == "inconclusive"
    assert first["more_examples"] == 2923
    assert first["measured"] == pytest.approx(0.01)
    assert first["interval"][0] < 0 < first["interval"][1]
    monkeypatch.setenv("COLUMNS", "160")
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    print_verdict(document)
    shown = out.getvalue()
    for words in (
        "size_mb",
        "latency_p99_ms",
        "a change above 0",
        "inconclusive",
        'precision of slice "a > 1"',
    ):
        assert words in shown, words
