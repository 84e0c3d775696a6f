"""The counts of pairs of a task."""

from __future__ import annotations

from atelier_client.comparison.counts import PairCounts
from atelier_client.comparison.errors import PairErrors
from atelier_client.comparison.label_sets import PairSets
from atelier_client.comparison.paired import PairMeasures
from atelier_client.evaluation.classification.question import Classification
from atelier_client.evaluation.question import Question


def pair_measures(question: Question) -> PairMeasures:
    """Counts of pairs without any yet."""
    if isinstance(question, Classification):
        return PairCounts(question.classes)
    return PairErrors() if question.task == "regression" else PairSets()
