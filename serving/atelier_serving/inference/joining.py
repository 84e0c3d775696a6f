"""Joining: Predict tasks that wait at the same time run as one session call, and each gets its own rows back.

Only tasks whose outputs have a row for each row of the inputs, which depends on that row alone, may be joined:
row_independence.py finds out which these are when a version is loaded. Both transports collect such tasks.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, ExitStack
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

from atelier_serving.inference.predict import Task
from atelier_serving.models.servable import Servable
from atelier_serving.request_context import RequestContext, begin

# The outputs of a task by alias, or why it failed.
Result = dict[str, np.ndarray] | Exception
# A run of more seconds is long: requests that arrive meanwhile must not wait for it.
_LONG_SECONDS = 0.001
# The share of the last run in the estimate of the next one's seconds, when it took less or more than estimated. A run
# that is measured too long, because other threads held the interpreter, must be forgotten soon.
_LESS, _MORE = 0.5, 0.1
# A task of more rows runs alone: it has little to gain, and its outputs may be large.
_MANY_ROWS = 64
# Outputs of more bytes are large.
_WIDE_BYTES = 128 * 1024


class Member:
    """A request that is to be run with others."""

    __slots__ = ("context", "task")

    context: RequestContext
    task: Task


class JoinedRuns:
    """Runs groups of tasks that may be joined, and knows how long they take."""

    def __init__(self) -> None:
        self._seconds: WeakKeyDictionary[Servable, float] = WeakKeyDictionary()
        # Those with large outputs for some rows: their tasks run alone, so that few are in memory at a time.
        self._wide: WeakSet[Servable] = WeakSet()

    def key(self, task: Task) -> Hashable | None:
        """Tasks of equal keys may be joined; None for one that runs alone."""
        return None if task.servable in self._wide else key_of(task)

    def take_long(self, groups: Sequence[Sequence[Member]]) -> bool:
        """Whether the runs of these groups are expected to be long together, as a servable's first run is."""
        return sum(self._seconds.get(group[0].task.servable, math.inf) for group in groups) > _LONG_SECONDS

    def run(self, group: Sequence[Member]) -> list[Result]:
        """Run a group. The time of its run is that of each member."""
        together = begin("Predict")
        found = run_joined([member.task for member in group])
        servable = group[0].task.servable
        known = self._seconds.get(servable, together.ran)
        self._seconds[servable] = known + (_LESS if together.ran < known else _MORE) * (together.ran - known)
        if any(
            sum(array.nbytes for array in result.values()) > _WIDE_BYTES
            for result in found
            if isinstance(result, dict)
        ):
            self._wide.add(servable)
        for member in group:
            context = member.context
            context.ran = together.ran
            context.rows = len(member.task.feeds[0][1]) if len(group) > 1 else together.rows
            context.batch = together.rows
        return found


class HeldServables:
    """The servables of requests that have arrived together, each kept loaded until all of them are released."""

    def __init__(self) -> None:
        self._held = ExitStack()
        self._found: dict[Hashable, tuple[Servable, RequestContext]] = {}
        self._holders = 1
        self._lock = threading.Lock()

    def get(
        self,
        key: Hashable,
        context: RequestContext,
        asked: Callable[[], AbstractContextManager[tuple[Servable, int]]],
    ) -> tuple[Servable, int]:
        """The servable and version that a request asks for. Requests of equal keys ask for the same.

        Raises `ServingError`.
        """
        found = self._found.get(key)
        if found is None:
            servable, _ = self._held.enter_context(asked())
            found = self._found[key] = servable, context
        servable, first = found
        context.model, context.version, context.label = first.model, first.version, first.label
        return servable, context.version

    def hold(self) -> None:
        """One more must `release` them."""
        with self._lock:
            self._holders += 1

    def release(self) -> None:
        """Called by who made this, and once for each `hold`."""
        with self._lock:
            self._holders -= 1
            last = not self._holders
        if last:
            self._held.close()
            self._found.clear()


def key_of(task: Task) -> Hashable | None:
    """Tasks of equal keys may be joined; None for one that runs alone."""
    independent = task.servable.independent_outputs.get(task.signature_name)
    if not independent or not task.feeds or not independent.issuperset(task.aliases):
        return None
    rows = None
    shapes: list[Hashable] = []
    for name, array in task.feeds:
        if not array.ndim or rows not in (None, len(array)) or not len(array):
            return None
        rows = len(array)
        if rows > _MANY_ROWS:
            return None
        shapes.append((name, array.dtype, array.shape[1:]))
    return (id(task.servable), task.signature_name, *task.aliases, *shapes)


def run_joined(tasks: Sequence[Task]) -> list[Result]:
    """Run tasks of one key. When that fails, each half is run, until only the bad task fails."""
    first = tasks[0]
    try:
        if len(tasks) == 1:
            return [first.run()]
        columns = zip(*(task.feeds for task in tasks), strict=True)
        feeds = [(column[0][0], np.concatenate([array for _, array in column])) for column in columns]
        outputs = first.run_with(feeds)
    except Exception as error:
        if len(tasks) == 1:
            return [error]
        middle = len(tasks) // 2
        return run_joined(tasks[:middle]) + run_joined(tasks[middle:])
    total = len(feeds[0][1])
    if any(not array.ndim or len(array) != total for array in outputs.values()):
        # It is no output of rows after all.
        return [result for task in tasks for result in run_joined([task])]
    found: list[Result] = []
    start = 0
    for task in tasks:
        stop = start + len(task.feeds[0][1])
        found.append({alias: array[start:stop] for alias, array in outputs.items()})
        start = stop
    return found
