"""The scheduler of batches by itself, on a clock that only the test moves: no model, no server, no pause."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from atelier_serving import request_context
from atelier_serving.batching.batcher import Batcher, Scheduler
from atelier_serving.batching.parameters import BatchingParameters
from atelier_serving.status import ServingError

PATIENCE = 20


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Graph:
    """Gives its rows back; notes its name and the rows of each run; can be held."""

    def __init__(self, name: str, runs: list[tuple[str, int]]) -> None:
        self.name = name
        self.runs = runs
        self.entered = threading.Event()
        self.free = threading.Event()
        self.free.set()

    def __call__(self, rows: np.ndarray) -> list[np.ndarray]:
        self.entered.set()
        assert self.free.wait(PATIENCE)
        self.runs.append((self.name, len(rows)))
        return [rows]


class House:
    """A scheduler with threads that ask it."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.clock = Clock()
        self.scheduler = Scheduler(1, self.clock)
        self.runs: list[tuple[str, int]] = []
        self._pool = pool

    def batcher(self, size: int, timeout: float = 0.0) -> Batcher:
        parameters = BatchingParameters(
            max_batch_size=size, max_execution_batch_size=size, timeout=timeout, max_enqueued_batches=99
        )
        return Batcher(self.scheduler, parameters)

    def graph(self, name: str) -> Graph:
        return Graph(name, self.runs)

    def ask(
        self, batcher: Batcher, graph: Graph, rows: int = 1, deadline: float | None = None
    ) -> Future[float]:
        """A request of its own thread; the future has the batch's rows, as the request context knows them."""

        def request() -> float:
            context = request_context.begin("Predict", deadline)
            batcher.run("key", graph, [("x", np.ones(rows))])
            return context.batch

        return self._pool.submit(request)

    def pending(self, batcher: Batcher, rows: int) -> None:
        """Return once so many rows wait."""
        end = time.monotonic() + PATIENCE
        while True:
            with self.scheduler.lock:
                found = sum(batch.rows for batch in batcher.pending)
            if found == rows:
                return
            assert time.monotonic() < end, f"{found} rows wait, not {rows}"
            time.sleep(0.001)

    def pass_time(self, seconds: float) -> None:
        """Move the clock, and have the scheduler look at it."""
        self.clock.now += seconds
        with self.scheduler.lock:
            self.scheduler.start_ready()


@pytest.fixture
def house() -> Iterator[House]:
    with ThreadPoolExecutor(16) as pool:
        yield House(pool)


def test_a_partial_batch_starts_when_its_time_has_passed_and_not_before(house: House) -> None:
    batcher, graph = house.batcher(8, timeout=60.0), house.graph("a")
    asked = [house.ask(batcher, graph, 1), house.ask(batcher, graph, 2)]
    house.pending(batcher, 3)
    house.pass_time(59.9)
    house.pending(batcher, 3)
    assert not graph.entered.is_set()
    house.pass_time(0.2)
    assert [future.result(PATIENCE) for future in asked] == [3, 3]
    assert house.runs == [("a", 3)]


def test_a_full_batch_starts_though_no_time_has_passed(house: House) -> None:
    batcher, graph = house.batcher(3, timeout=60.0), house.graph("a")
    asked = [house.ask(batcher, graph, 1), house.ask(batcher, graph, 2)]
    assert [future.result(PATIENCE) for future in asked] == [3, 3]


def test_a_request_that_does_not_fit_closes_the_batch_and_begins_the_next(house: House) -> None:
    batcher, graph = house.batcher(4, timeout=60.0), house.graph("a")
    first = house.ask(batcher, graph, 3)
    house.pending(batcher, 3)
    second = house.ask(batcher, graph, 2)
    assert first.result(PATIENCE) == 3
    house.pending(batcher, 2)
    house.pass_time(60.0)
    assert second.result(PATIENCE) == 2


def test_free_turns_go_round_between_the_models(house: House) -> None:
    busy, quiet = house.batcher(1), house.batcher(1)
    first = house.graph("first")
    first.free.clear()
    asked = [house.ask(busy, first)]
    assert first.entered.wait(PATIENCE)
    for count in range(1, 4):
        asked.append(house.ask(busy, house.graph("busy")))
        house.pending(busy, count)
    asked.append(house.ask(quiet, house.graph("quiet")))
    house.pending(quiet, 1)
    first.free.set()
    assert [future.result(PATIENCE) for future in asked] == [1] * 5
    order = [name for name, _ in house.runs]
    assert order == ["first", "busy", "quiet", "busy", "busy"]


def test_a_request_leaves_its_batch_at_its_deadline_and_the_others_stay(house: House) -> None:
    batcher, graph = house.batcher(8, timeout=60.0), house.graph("a")
    stays = house.ask(batcher, graph, 2)
    house.pending(batcher, 2)
    # Its deadline has passed already: it goes as soon as its thread looks.
    leaves = house.ask(batcher, graph, 1, deadline=house.clock.now)
    with pytest.raises(ServingError, match="timeout exceeded while waiting in batching queue"):
        leaves.result(PATIENCE)
    house.pending(batcher, 2)
    house.pass_time(60.0)
    assert stays.result(PATIENCE) == 2
    assert house.runs == [("a", 2)]


def test_a_turn_comes_back_after_a_graph_that_fails(house: House) -> None:
    batcher = house.batcher(1)

    def fails(rows: np.ndarray) -> list[np.ndarray]:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        batcher.run("key", fails, [("x", np.ones(1))])
    assert house.ask(batcher, house.graph("a")).result(PATIENCE) == 1
