"""Batching: rows go together and come back to their own request; limits, fairness, one bad request among good ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_serving import request_context
from atelier_serving.batching.batcher import Batcher, Scheduler
from atelier_serving.batching.parameters import BatchingParameters, read_batching_parameters
from atelier_serving.status import ServingError
from hypothesis import given, settings
from hypothesis import strategies as st


class Graph:
    """Doubles rows of non-negative numbers; remembers what ran; can be held back."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, x: np.ndarray) -> list[np.ndarray]:
        assert self.gate.wait(10)
        self.sizes.append(len(x))
        if (x < 0).any():
            raise ValueError("negative")
        return [x * 2, x.sum(axis=tuple(range(1, x.ndim)))]


def batcher(**parameters: Any) -> Batcher:
    chosen = BatchingParameters(**{"threads": 1, **parameters})
    chosen = BatchingParameters(
        **{
            **chosen.__dict__,
            "max_execution_batch_size": parameters.get("max_execution_batch_size", chosen.max_batch_size),
        }
    )
    return Batcher(Scheduler(chosen.threads), chosen)


def run(
    batched: Batcher, graph: Callable[..., Any], array: np.ndarray, key: str = "k"
) -> Sequence[np.ndarray]:
    return batched.run(key, graph, [("x", np.asarray(array))])


def held(batched: Batcher, graph: Graph, arrays: Sequence[np.ndarray]) -> list[Any]:
    """Send `arrays` at the same time, while a first request keeps the only turn; results or exceptions, in order."""
    graph.gate.clear()
    with ThreadPoolExecutor(len(arrays) + 1) as pool:
        first = pool.submit(run, batched, graph, np.zeros((1, 1)), "first")
        time.sleep(0.05)
        futures = [pool.submit(run, batched, graph, array) for array in arrays]
        time.sleep(0.15)
        graph.gate.set()
        first.result()
        return [future.exception() or future.result() for future in futures]


def test_requests_that_wait_together_run_together_and_get_their_own_rows() -> None:
    graph, batched = Graph(), batcher()
    arrays = [np.full((size, 2), size) for size in (1, 3, 2, 5)]
    for array, (doubled, sums) in zip(arrays, held(batched, graph, arrays), strict=True):
        np.testing.assert_array_equal(doubled, array * 2)
        np.testing.assert_array_equal(sums, array.sum(axis=1))
    assert graph.sizes == [1, 11]


def test_one_bad_request_fails_alone() -> None:
    graph, batched = Graph(), batcher()
    arrays = [np.full((1, 2), value) for value in (1, 2, -3, 4, 5, 6, 7)]
    results = held(batched, graph, arrays)
    assert isinstance(results[2], ValueError)
    for index in (0, 1, 3, 4, 5, 6):
        np.testing.assert_array_equal(results[index][0], arrays[index] * 2)


def test_other_shapes_run_apart_or_padded() -> None:
    arrays = [np.full((1, 2), 5), np.full((2, 3), 7)]
    graph = Graph()
    results = held(batcher(), graph, arrays)
    assert [result[0].shape for result in results] == [(1, 2), (2, 3)]
    assert sorted(graph.sizes) == [1, 1, 2]
    graph = Graph()
    results = held(batcher(pad_variable_length_inputs=True), graph, arrays)
    assert graph.sizes == [1, 3]
    # The padding is the first element of the array padded.
    assert results[0][0].tolist() == [[10, 10, 10]]


def test_sizes_are_rounded_up_to_an_allowed_one_and_zero_rows_are_answered() -> None:
    graph, batched = Graph(), batcher(allowed_batch_sizes=(4, 8), max_batch_size=8)
    assert run(batched, graph, np.ones((3, 1)))[0].shape == (3, 1)
    assert run(batched, graph, np.ones((0, 1)))[0].shape == (0, 1)
    assert graph.sizes == [4, 0]


def test_a_batch_is_cut_at_the_size_and_large_requests_are_split() -> None:
    graph = Graph()
    held(batcher(max_batch_size=4), graph, [np.ones((2, 1)) for _ in range(4)])
    assert graph.sizes == [1, 4, 4]
    graph = Graph()
    split = batcher(max_batch_size=8, splitting=True, max_execution_batch_size=3)
    np.testing.assert_array_equal(run(split, graph, np.arange(8.0)[:, None])[0], 2 * np.arange(8.0)[:, None])
    assert graph.sizes == [3, 3, 2]


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ([], "Batching Run() must have at least one input tensor"),
        ([np.array(1.0)], "Batching Run() input tensors must have at least one dimension"),
        ([np.ones(2), np.ones(3)], "Batching Run() input tensors must have equal 0th-dimension size"),
        ([np.ones(9)], "Task size 9 is larger than maximum input batch size 8"),
    ],
)
def test_what_cannot_be_batched_is_refused(inputs: list[np.ndarray], text: str) -> None:
    with pytest.raises(ServingError) as raised:
        batcher(max_batch_size=8).run("k", Graph(), [(f"x{i}", a) for i, a in enumerate(inputs)])
    assert raised.value.message == text


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (np.array(1.0), "Batched output tensor has 0 dimensions"),
        (
            np.ones(7),
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes",
        ),
    ],
)
def test_an_output_without_the_batch_dimension_is_refused(output: np.ndarray, text: str) -> None:
    with pytest.raises(ServingError, match=text):
        run(batcher(), lambda x: [output], np.ones((2, 1)))


def test_a_full_queue_is_unavailable_and_recovers() -> None:
    graph, batched = Graph(), batcher(max_batch_size=2, max_enqueued_batches=2)
    results = held(batched, graph, [np.ones((1, 1)) for _ in range(6)])
    refused = [result for result in results if isinstance(result, ServingError)]
    assert len(refused) == 2
    text = "queue to which this task was submitted is full; currently 2 batches enqueued and max_enqueued_batches is 2"
    assert all(text in error.message and error.code.name == "UNAVAILABLE" for error in refused)
    assert run(batched, graph, np.ones((1, 1)))[0].tolist() == [[2.0]]


def test_a_partial_batch_waits_its_time_and_a_full_one_does_not() -> None:
    graph, batched = Graph(), batcher(timeout=0.3, max_batch_size=2)
    started = time.monotonic()
    run(batched, graph, np.ones((1, 1)))
    assert 0.25 < time.monotonic() - started < 2
    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: run(batched, graph, np.ones((1, 1))), range(2)))
    assert time.monotonic() - started < 0.25


def test_a_deadline_ends_the_wait_and_the_others_go_on() -> None:
    graph, batched = Graph(), batcher(timeout=0.4)

    def late() -> None:
        request_context.begin("Predict", time.monotonic() + 0.1)
        run(batched, graph, np.ones((1, 1)))

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(late)
        time.sleep(0.03)
        second = pool.submit(run, batched, graph, np.ones((1, 1)))
        with pytest.raises(ServingError, match="timeout exceeded while waiting in batching queue"):
            first.result()
        assert second.result(timeout=5)[0].tolist() == [[2.0]]
    assert graph.sizes == [1]


def test_a_busy_model_does_not_starve_another() -> None:
    """Two models share one turn: while one has a long queue, the other's request is next but one at the latest."""
    scheduler = Scheduler(1)
    busy, quiet = (
        Batcher(
            scheduler,
            BatchingParameters(max_batch_size=1, max_execution_batch_size=1, max_enqueued_batches=99),
        )
        for _ in range(2)
    )
    order, gate = [], threading.Event()

    def graph(name: str) -> Callable[[np.ndarray], list[np.ndarray]]:
        def compute(x: np.ndarray) -> list[np.ndarray]:
            assert gate.wait(10)
            order.append(name)
            return [x]

        return compute

    with ThreadPoolExecutor(12) as pool:
        futures = [pool.submit(run, busy, graph("busy"), np.ones((1, 1))) for _ in range(8)]
        time.sleep(0.1)
        futures.append(pool.submit(run, quiet, graph("quiet"), np.ones((1, 1))))
        time.sleep(0.1)
        gate.set()
        for future in futures:
            future.result(timeout=10)
    assert order.index("quiet") <= 2


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=24),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.002]),
    st.booleans(),
)
def test_every_request_gets_its_own_answer_whatever_comes_together(
    sizes: list[int], threads: int, timeout: float, bad: bool
) -> None:
    """Random sizes, some of them bad, from many threads: nobody hangs, nobody gets another's rows."""
    graph, batched = (
        Graph(),
        batcher(max_batch_size=6, timeout=timeout, threads=threads, max_enqueued_batches=99),
    )

    def one(index: int) -> bool:
        value = -1.0 if bad and index % 5 == 2 else float(index)
        array = np.full((sizes[index], 1 + index % 2), value)
        try:
            return run(batched, graph, array)[0].tolist() == (array * 2).tolist()
        except ValueError:
            return value < 0

    with ThreadPoolExecutor(len(sizes)) as pool:
        assert all(pool.map(one, range(len(sizes)), timeout=20))


def test_a_parameters_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "batching.config"
    file.write_text(
        "max_batch_size { value: 128 } batch_timeout_micros { value: 5000 } max_enqueued_batches { value: 100 }"
        'num_batch_threads { value: 8 } thread_pool_name { value: "x" } allowed_batch_sizes: 32 '
        "allowed_batch_sizes: 128 pad_variable_length_inputs: true"
    )
    assert read_batching_parameters(file) == BatchingParameters(
        128, 0.005, 100, 8, "x", (32, 128), True, False, 128
    )
    file.write_text("")
    assert read_batching_parameters(file) == BatchingParameters()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8",
        ),
        ("allowed_batch_sizes: 8 allowed_batch_sizes: 1000 allowed_batch_sizes: 1000", "increasing"),
        ("max_batch_size { value: 0 }", "max_batch_size must be positive; was 0"),
        ("num_batch_threads { value: 0 }", "num_batch_threads must be positive"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be non-negative"),
        ("max_batch_size: 8", "Invalid protobuf file"),
        (
            "max_batch_size { value: 8 } enable_large_batch_splitting { value: true } "
            "max_execution_batch_size { value: 9 }",
            "max_execution_batch_size should be less than or equal to",
        ),
    ],
)
def test_a_wrong_parameters_file_is_refused(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "batching.config").write_text(text)
    with pytest.raises(ServingError, match=error):
        read_batching_parameters(tmp_path / "batching.config")
