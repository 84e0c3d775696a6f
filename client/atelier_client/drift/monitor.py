"""Compares a log, window by window, with training (skew) and with the window before (drift)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from atelier_client._printable import counted
from atelier_client.drift.column import ANSWERS, Column, Counts, Kind, column_of
from atelier_client.drift.estimate import Calibration
from atelier_client.drift.reference import Reference
from atelier_client.drift.schema import Schema, guessed
from atelier_client.drift.verdict import Compared, Verdict, compare, overall
from atelier_client.drift.windows import Every, Sample, Window, first_window, sample_of, windows
from atelier_client.request_log import LoggedRequest, Remarks, read

Against = Literal["reference", "previous"]
# Of a first window that stands for a reference, so many examples decide where its edges are.
_FIRST = 20_000


@dataclass(frozen=True)
class Question:
    """What is asked of a log. `labels` are class numbers by the digest of the inputs (feedback.py).

    `schema` is None when there is no model card.
    """

    log: Path
    model: str
    version: int
    every: Every
    since: datetime | None
    against: Against
    schema: Schema | None
    reference: Reference | None
    labels: Mapping[bytes, int]


@dataclass(frozen=True)
class Judged:
    """A window with what was found: against training, and against the window before; None where there is none."""

    window: Window
    skew: Sequence[Compared] | None
    drift: Sequence[Compared] | None
    against: Against

    @property
    def decisive(self) -> Sequence[Compared]:
        """The comparison that was asked for; empty for the first window, which has none before it."""
        return (self.skew if self.against == "reference" else self.drift) or ()

    @property
    def verdict(self) -> Verdict:
        """That of the comparison that was asked for."""
        return overall(self.decisive)


@dataclass
class Monitored:
    """`requests` of the version were read, `others` are those of other versions, `remarks` sentences for people.

    `bare` counts, by signature, the requests without inputs or answers that could be counted; `redacted` are the names
    of what the log left out. `not_finite` counts values, by column.
    """

    question: Question
    schema: Schema | None = None
    columns: tuple[Column, ...] = ()
    calibration: Calibration | None = None
    windows: list[Judged] = field(default_factory=list)
    requests: int = 0
    others: Counter[int] = field(default_factory=Counter)
    bare: dict[str, Counter[str]] = field(default_factory=lambda: {"inputs": Counter(), "answers": Counter()})
    redacted: set[str] = field(default_factory=set)
    not_finite: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """Changed when a whole window has; stable when all of them are. A log without a whole window counts as one."""
        judged = [one for one in self.windows if one.decisive]
        verdicts = {one.verdict for one in [one for one in judged if one.window.whole] or judged}
        if "changed" in verdicts:
            return "changed"
        return "stable" if verdicts == {"stable"} else "too few"

    @property
    def shown(self) -> Judged | None:
        """The window to look at: the newest that has changed, else the newest whole one, else the newest."""
        judged = [one for one in self.windows if one.decisive] or self.windows
        whole = [one for one in judged if one.window.whole] or judged
        changed = [one for one in whole if one.verdict == "changed"]
        return next(reversed(changed or whole), None)


def versions_in(log: Path, model: str) -> Counter[int]:
    """How many requests of each version a log has. Raises `DataError`."""
    return Counter(request.version for request in read(log, model, remarks=Remarks()))


def monitor(question: Question, advance: Callable[[int], None]) -> Monitored:
    """Read the log and judge its windows. `advance` is told of the examples read. Raises `DataError`."""
    found = Monitored(question)
    reference = question.reference
    found.schema = reference.schema if reference else question.schema or _guess(question, found)
    if found.schema is None:
        return found
    if reference:
        found.columns, found.calibration = reference.columns, reference.calibration
    else:
        # The first window fixes where the numbers of all windows are counted.
        samples = _samples(question, found.schema, Monitored(question), Remarks(), lambda rows: None)
        found.columns = _columns(first_window(samples, question.every, _FIRST))
    if reference and reference.calibration is None:
        found.remarks.append(
            "The model predicts a number: no accuracy can be estimated without labels (CBPE takes the confidences of "
            "classes)."
        )
    remarks = Remarks()
    samples = _samples(question, found.schema, found, remarks, advance)
    # A number that is too large for its type becomes infinite, which is said.
    with np.errstate(over="ignore", invalid="ignore"):
        made, older = windows(samples, found.columns, found.calibration, question.every, datetime.now(UTC))
    found.windows = _judged(found, made)
    found.remarks += [*remarks.lines(), *_bare(found)]
    if question.labels and not any(window.labelled for window in made):
        found.remarks.append(
            f"Of {counted(len(question.labels), 'example')} of --feedback none is among the requests of the log."
        )
    if older:
        found.remarks.append(f"Left out: {counted(older, 'older window')}; a longer --every makes fewer.")
    return found


def _guess(question: Question, found: Monitored) -> Schema | None:
    for request in _requests(question, Monitored(question), Remarks()):
        schema = guessed(request.inputs)
        what = {
            "image": f"pictures of {list(schema.shape)}",
            "text": "texts",
            "table": f"{len(schema.columns)} columns",
            None: "of no known kind, and only the answers are compared",
        }[schema.kind]
        found.remarks.append(f"There is no model card: the inputs are taken for {what}.")
        return schema
    return None


def _requests(question: Question, found: Monitored, remarks: Remarks) -> Iterator[LoggedRequest]:
    """The requests of the version since the time asked for; the others are counted."""
    for request in read(question.log, question.model, remarks=remarks):
        if question.since and request.time < question.since:
            continue
        if request.version != question.version:
            found.others[request.version] += 1
            continue
        found.requests += 1
        yield request


def _samples(
    question: Question, schema: Schema, found: Monitored, remarks: Remarks, advance: Callable[[int], None]
) -> Iterator[Sample]:
    for request in _requests(question, found, remarks):
        advance(request.examples)
        sample = sample_of(request, schema, question.labels)
        groups = {group for group, _ in sample.values}
        if schema.kind and not groups - {*ANSWERS}:
            found.bare["inputs"][request.signature] += 1
        if not groups & {*ANSWERS}:
            found.bare["answers"][request.signature] += 1
        found.redacted.update(request.redacted)
        found.not_finite.update(_not_finite(sample, schema))
        yield sample


def _not_finite(sample: Sample, schema: Schema) -> dict[str, int]:
    """How many values of each column are infinite or no number. Where inputs may be missing NaN says so."""
    counts = {}
    for (group, name), values in sample.values.items():
        if values.dtype.kind != "f" or (group == "output" and name.startswith("probability of ")):
            # Of an answer that is not finite the confidence is none either, and it is counted once.
            continue
        wrong = np.isinf(values) if group == "input" and schema.kinds else ~np.isfinite(values)
        if count := int(np.count_nonzero(wrong)):
            counts[name] = count
    return counts


def _bare(found: Monitored) -> Iterator[str]:
    """What the log does not have, and what that means."""
    if found.others[0] and found.question.version:
        yield (
            f"Left out: {counted(found.others[0], 'request')} that do not say which version answered (kept by a client "
            "that asked over REST)."
        )
    if found.not_finite:
        names = ", ".join(f"{name}: {counted(count, 'value')}" for name, count in found.not_finite.items())
        yield f"Values that are not finite are not counted in their columns ({names})."
    left_out = f" (the log leaves out: {', '.join(sorted(found.redacted))})" if found.redacted else ""
    means = {"inputs": "only their answers are compared", "answers": "only their inputs are compared"}
    for what, signatures in found.bare.items():
        count = sum(signatures.values())
        if not count:
            continue
        names = ", ".join(sorted(signatures))
        which = "All" if count == found.requests else f"{count:,} of {found.requests:,}"
        yield f"{which} requests (signature {names}) have no {what} that can be read{left_out}: {means[what]}."


def _columns(samples: Sequence[Sample]) -> tuple[Column, ...]:
    keys = dict.fromkeys(key for sample in samples for key in sample.values)
    columns = []
    for group, name in keys:
        values = np.concatenate(
            [sample.values[group, name] for sample in samples if (group, name) in sample.values]
        )
        kind: Kind = {"b": "share", "O": "category"}.get(values.dtype.kind, "number")  # type: ignore[assignment]
        columns.append(column_of(name, group, kind, values))
    return tuple(columns)


def _judged(found: Monitored, made: Sequence[Window]) -> list[Judged]:
    assert found.schema is not None
    pictures = found.schema.kind == "image"
    reference = found.question.reference
    judged = []
    before: list[Counts | None] | None = None
    for window in made:
        now = [window.counts.get(column.key) for column in found.columns]
        skew = compare(found.columns, reference.counts, now, outputs_alone=pictures) if reference else None
        drift = compare(found.columns, before, now, outputs_alone=pictures) if before else None
        judged.append(Judged(window, skew, drift, found.question.against))
        before = now
    return judged
