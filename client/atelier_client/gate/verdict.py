"""The verdict of a gate: one word, one sentence with its numbers, and every check behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from atelier_client.gate.check import Check, Outcome
from atelier_client.gate.checks import checks_of
from atelier_client.gate.measured import Measured
from atelier_client.gate.rule import PAIRED, Rule
from atelier_client.gate.rules import Rules

Name = Literal["blessed", "rejected", "inconclusive", "not_evaluated"]

_EXIT_CODES: Mapping[Name, int] = {"blessed": 0, "rejected": 1, "inconclusive": 4, "not_evaluated": 1}
# The first that any check has decides.
_WORST: tuple[tuple[Outcome, Name], ...] = (
    ("rejected", "rejected"),
    ("not_evaluated", "not_evaluated"),
    ("inconclusive", "inconclusive"),
)
_MOST_CLAUSES = 6


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a candidate. `stable` is None for a first version, `dataset` without examples."""

    name: Name
    sentence: str
    checks: tuple[Check, ...]
    candidate: int
    stable: int | None
    examples: int
    dataset: Mapping[str, str] | None

    @property
    def exit_code(self) -> int:
        """0 blessed, 1 rejected or not evaluated, 4 inconclusive."""
        return _EXIT_CODES[self.name]

    def document(self) -> dict[str, Any]:
        """The verdict as plain JSON data."""
        return {
            "verdict": self.name,
            "sentence": self.sentence,
            "candidate": self.candidate,
            "stable": self.stable,
            "examples": self.examples,
            "dataset": dict(self.dataset) if self.dataset else None,
            "checks": [check.document() for check in self.checks],
        }


def judge(rules: Rules, measured: Measured) -> Verdict:
    """Judge what was measured by the rules.

    One rejecting check rejects; else one that could not be measured leaves the candidate not evaluated; else one that
    the examples do not decide holds it.
    """
    asked = rules.for_task(measured.task)
    checks = tuple(
        check
        for rule in (*asked, *_unasked(asked, measured), rules.latency, rules.size)
        for check in checks_of(rule, measured)
    )
    deciding = [check for check in checks if not check.observed]
    name: Name = "blessed"
    telling = deciding
    for outcome, verdict in _WORST:
        found = [check for check in deciding if check.outcome == outcome]
        if found:
            name, telling = verdict, found
            break
    return Verdict(
        name,
        _sentence(name, measured, telling),
        checks,
        measured.candidate,
        measured.stable,
        measured.whole.examples if measured.whole else 0,
        measured.dataset,
    )


def _unasked(rules: Sequence[Rule], measured: Measured) -> list[Rule]:
    """What is measured anyway is shown."""
    asked = {rule.metric for rule in rules if rule.slice is None}
    known = measured.whole.metrics if measured.whole else {}
    return [Rule(metric, observe=True) for metric in PAIRED if metric in known and metric not in asked]


def _sentence(name: Name, measured: Measured, checks: Sequence[Check]) -> str:
    heads: Mapping[Name, str] = {
        "blessed": f"Version {measured.candidate} is blessed",
        "rejected": f"Version {measured.candidate} is rejected",
        "inconclusive": f"Version {measured.candidate} is held, for the measurements do not decide",
        "not_evaluated": f"Version {measured.candidate} was not evaluated",
    }
    clauses = [check.clause for check in checks if check.outcome != "no_baseline"]
    if measured.stable is None and name == "blessed":
        clauses.insert(0, "there is no baseline to compare with")
    elif not clauses:
        clauses.append("no rule decides about it")
    left = len(clauses) - _MOST_CLAUSES
    shown = clauses[:_MOST_CLAUSES] + ([f"and {left} more"] if left > 0 else [])
    against = f" against version {measured.stable}" if measured.stable is not None else ""
    on = f" on {measured.whole.examples:,} examples" if measured.whole else ""
    return f"{heads[name]}{against}{on}: {'; '.join(shown)}."
