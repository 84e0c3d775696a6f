"""The metrics are scikit-learn's, whatever the number of classes and batches; the intervals hold what they promise."""

from typing import Any

import numpy as np
import pytest
from atelier_client.evaluation import intervals
from atelier_client.evaluation.classification.calibration import Calibration
from atelier_client.evaluation.classification.curves import Scores
from atelier_client.evaluation.classification.metrics import MetricCounts, areas, of_positive_class, per_class
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk


def classified(classes: Any, rows: Any, seed: Any = 0, sharpness: Any = 1.5) -> Any:
    """Labels, and probabilities that are partly right."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    scores = random.normal(size=(rows, classes))
    scores[np.arange(rows), labels] += sharpness
    powers = np.exp(scores)
    return labels, (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def counted(labels: Any, probabilities: Any, batch: Any, **kwargs: Any) -> Any:
    counts, scores = MetricCounts(probabilities.shape[1]), Scores(probabilities.shape[1], **kwargs)
    for first in range(0, len(labels), batch):
        part = slice(first, first + batch)
        counts.add(probabilities[part], labels[part])
        scores.add(probabilities[part], labels[part])
    names = [str(number) for number in range(counts.classes)]
    classes = per_class(counts.confusion, names, scores.curves())
    return *counts.metrics(), *areas(classes), classes


@given(st.integers(2, 12), st.integers(1, 300), st.integers(0, 9), st.integers(1, 100))
@settings(max_examples=40, deadline=None)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.filterwarnings("ignore:.*y_pred values do not sum to one.*")
def test_every_metric_is_scikit_learns(classes: Any, rows: Any, seed: Any, batch: Any) -> None:
    labels, probabilities = classified(classes, rows, seed)
    values, bounds, area, area_bounds, by_class = counted(labels, probabilities, batch)
    predicted, known = probabilities.argmax(axis=1), list(range(classes))
    assert values["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    precise = probabilities.astype(np.float64)
    precise /= precise.sum(axis=1, keepdims=True)
    assert values["loss"] == pytest.approx(sk.log_loss(labels, precise, labels=known), rel=1e-4)
    for kind in ("macro", "weighted", None):
        wanted = sk.precision_recall_fscore_support(
            labels, predicted, labels=known, average=kind, zero_division=0
        )
        for index, name in enumerate(("precision", "recall", "f1")):
            got = [row[name] for row in by_class] if kind is None else values[f"{kind}_{name}"]
            np.testing.assert_allclose(got, wanted[index], atol=1e-9)
    if classes > 3:
        wanted = sk.top_k_accuracy_score(labels, probabilities, k=3, labels=known)
        assert values["top_3_accuracy"] == pytest.approx(wanted)
    for number, row in enumerate(by_class):
        if 0 < row["support"] < rows:
            mine = labels == number
            assert row["roc_auc"] == pytest.approx(sk.roc_auc_score(mine, probabilities[:, number]))
            assert row["pr_auc"] == pytest.approx(sk.average_precision_score(mine, probabilities[:, number]))
        else:
            assert row["roc_auc"] is None
            assert row["pr_auc"] is None
    for name, (low, high) in (bounds | area_bounds).items():
        assert low <= (values | area)[name] + 1e-9, name
        assert high >= (values | area)[name] - 1e-9, name


def test_binned_areas_are_close_to_the_exact_ones() -> None:
    labels, probabilities = classified(10, 200_000)
    *_, exact, _, _ = counted(labels, probabilities, 4096, exact=10**9)
    *_, binned, _, _ = counted(labels, probabilities, 4096, exact=0)
    assert set(exact) == {"macro_roc_auc", "weighted_roc_auc", "macro_pr_auc", "weighted_pr_auc"}
    for name in exact:
        assert binned[name] == pytest.approx(exact[name], abs=1e-4), name
        assert binned[name] != exact[name]


def test_binning_keeps_the_order_of_scores() -> None:
    scores = Scores(1, exact=0)
    values = np.sort(np.random.default_rng(0).random(10_000).astype(np.float32) ** 8)
    values = np.concatenate([[0.0], values, 1 - values[::-1], [1.0]]).astype(np.float32)
    assert (np.diff(scores._levels(np.sort(values))) >= 0).all()


def test_a_binary_classifier_has_the_metrics_of_its_second_class() -> None:
    labels, probabilities = classified(2, 500)
    *_, classes = counted(labels, probabilities, 100)
    values, _ = of_positive_class(classes)
    assert values["precision"] == pytest.approx(sk.precision_score(labels, probabilities[:, 1] > 0.5))
    assert values["roc_auc"] == pytest.approx(sk.roc_auc_score(labels, probabilities[:, 1]))


def test_the_calibration_error_is_that_of_its_definition() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.65])
    right = np.array([True, True, False, True])
    calibration = Calibration()
    calibration.add(confidence[:2], right[:2])
    calibration.add(confidence[2:], right[2:])
    assert calibration.error() == pytest.approx(0.75 * abs(2 / 3 - 0.95) + 0.25 * 0.35)
    assert [row["examples"] for row in calibration.bins()] == [1, 3]


def test_intervals_hold_the_true_value_about_as_often_as_they_say() -> None:
    """400 samples of 300 examples from a known distribution; 95 % of the intervals should hold its metric."""
    labels, probabilities = classified(4, 400_000, seed=1)
    truth, _, area, _, by_class = counted(labels, probabilities, 4096)
    names = ("accuracy", "loss", "macro_f1", "weighted_f1", "macro_precision", "weighted_precision")
    held = dict.fromkeys([*names, "f1", "roc_auc", "pr_auc", "macro_roc_auc", "ece"], 0)
    for sample in range(400):
        part = slice(sample * 300, (sample + 1) * 300)
        _, bounds, _, area_bounds, rows = counted(labels[part], probabilities[part], 300)
        for name in (*names, "ece"):
            held[name] += bounds[name][0] <= truth[name] <= bounds[name][1]
        for name in ("f1", "roc_auc", "pr_auc"):
            low, high = rows[0]["intervals"][name]
            held[name] += low <= by_class[0][name] <= high
        low, high = area_bounds["macro_roc_auc"]
        held["macro_roc_auc"] += low <= area["macro_roc_auc"] <= high
    shares = {name: count / 400 for name, count in held.items()}
    # A mean of dependent areas gets the widest interval; the others are 0.95 give or take a few of 400.
    # The calibration error of few examples is biased; the bootstrap takes most of that off, not all (calibration.py).
    assert shares.pop("ece") >= 0.8
    assert all(share >= 0.91 for share in shares.values()), shares
    assert all(shares[name] <= 0.985 for name in names), shares


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"), [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)]
)
def test_wilson_is_as_published(hits: Any, count: Any, low: Any, high: Any) -> None:
    """Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3 (81 of 263)."""
    assert intervals.wilson(hits, count) == pytest.approx((low, high), abs=1e-4)
