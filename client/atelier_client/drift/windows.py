"""The requests of a log in windows: so many examples each, or so long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from atelier_client.drift.column import Column, Counts
from atelier_client.drift.estimate import Calibration, Confidences
from atelier_client.drift.inputs import Values, inputs_of
from atelier_client.drift.outputs import answers_of
from atelier_client.drift.schema import Schema
from atelier_client.request_log import LoggedRequest

Every = int | timedelta
# More would make a page that nobody reads.
MOST_WINDOWS = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Sample:
    """What one request tells. `right` and `labelled` count the examples whose label is known."""

    time: datetime
    examples: int
    values: Values
    probabilities: Any
    right: int
    labelled: int


@dataclass
class Window:
    """`first` and `last` are the earliest and the latest time of its requests. `whole`: it is not the log's rest."""

    first: datetime
    last: datetime
    requests: int = 0
    examples: int = 0
    counts: dict[tuple[str, str], Counts] = field(default_factory=dict)
    confidences: Confidences = field(default_factory=Confidences)
    right: int = 0
    labelled: int = 0
    whole: bool = False

    def add(self, sample: Sample, columns: Sequence[Column], calibration: Calibration | None) -> None:
        """Count a request."""
        self.first = min(self.first, sample.time)
        self.last = max(self.last, sample.time)
        self.requests += 1
        self.examples += sample.examples
        self.right += sample.right
        self.labelled += sample.labelled
        for column in columns:
            values = sample.values.get(column.key)
            if values is not None:
                counted = column.count(values)
                before = self.counts.get(column.key)
                self.counts[column.key] = before + counted if before else counted
        if calibration and sample.probabilities is not None:
            calibration.add(self.confidences, sample.probabilities)


def sample_of(request: LoggedRequest, schema: Schema, labels: Mapping[bytes, int]) -> Sample:
    """What a request tells of a model; `labels` are class numbers by the digest of the inputs."""
    inputs = inputs_of(request.inputs, schema)
    answers = answers_of(request.outputs, schema)
    values = {**answers.values, **(inputs.features(schema) if inputs else {})}
    right = labelled = 0
    if labels and inputs and answers.predicted is not None:
        known = [labels.get(digest, -1) for digest in inputs.digests()]
        truth = np.array(known)
        if len(truth) == len(answers.predicted):
            labelled = int(np.count_nonzero(truth >= 0))
            right = int(np.count_nonzero((truth >= 0) & (truth == answers.predicted)))
    return Sample(request.time, request.examples, values, answers.probabilities, right, labelled)


def first_window(samples: Iterator[Sample], every: Every, most: int) -> list[Sample]:
    """The samples of the first window, `most` examples of it at most."""
    taken: list[Sample] = []
    examples = 0
    place: int | None = None
    for sample in samples:
        if isinstance(every, timedelta):
            own = _place(sample.time, every)
            place = own if place is None else place
            if own != place:
                break
        taken.append(sample)
        examples += sample.examples
        if examples >= (min(every, most) if isinstance(every, int) else most):
            break
    return taken


def windows(
    samples: Iterable[Sample],
    columns: Sequence[Column],
    calibration: Calibration | None,
    every: Every,
    now: datetime,
) -> tuple[list[Window], int]:
    """The windows in order, and how many older ones there were than the last `MOST_WINDOWS`.

    A request is never split: a window has `every` examples, or a few more. A window of time begins at a whole multiple
    of it since 1970 (UTC); a request goes where its own time says, also when a clock was set back.
    """
    found: dict[int, Window] = {}
    place = older = 0
    for sample in samples:
        if isinstance(every, timedelta):
            place = _place(sample.time, every)
        window = found.setdefault(place, Window(sample.time, sample.time))
        window.add(sample, columns, calibration)
        if isinstance(every, int) and window.examples >= every:
            window.whole = True
            place += 1
        if len(found) > MOST_WINDOWS:
            found.pop(min(found))
            older += 1
    if isinstance(every, timedelta) and found:
        for number, window in found.items():
            # The newest one may still be going on.
            window.whole = number < max(found) or number < _place(now, every)
    return [found[number] for number in sorted(found)], older


def _place(time: datetime, every: timedelta) -> int:
    return (time - _EPOCH) // every
