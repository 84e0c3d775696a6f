"""Small predict requests over REST that have arrived together: each gets the answer that it gets alone."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from atelier_serving.rest.bursts import SMALL
from atelier_serving.rest.json.text import rows, rows_apart

from tests.support.http import series
from tests.support.peer import ONCE
from tests.support.server import RunningServer, running_server

REQUESTS = 40
PREDICT = "/v1/models/doubler:predict"


class Doubler(tf.Module):
    """Rows that are independent of each other, some of which fail."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="x")])
    def double(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Twice x, from a table; fails for a number that the table has not."""
        return {"double": tf.gather(tf.range(1000) * 2, x), "large": x > 9}

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    def wide(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """160 kB for each row."""
        return {"y": x * tf.ones([1, 40_000])}


@pytest.fixture(scope="module")
def doubler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("doublers")
    module = Doubler()
    signatures = {"serving_default": module.double, "wide": module.wide}
    tf.saved_model.save(module, str(models / "doubler" / "1"), signatures=signatures)
    return models


class Log:
    """A server, and what its access log tells of requests."""

    def __init__(self, server: RunningServer, path: Path) -> None:
        self.server = server
        self._path = path
        self._read = 0

    def lines(self) -> list[dict[str, Any]]:
        """The requests since the last call."""
        lines = self._path.read_text().splitlines()
        new = lines[self._read :]
        self._read = len(lines)
        return [json.loads(line) for line in new]

    def ask(self, bodies: Sequence[str], path: str = PREDICT) -> list[tuple[int, str]]:
        """Send requests at the same time, each on a connection of its own: (status, body) of each."""
        address = self.server.rest.removeprefix("http://")
        connections = [http.client.HTTPConnection(address, timeout=20) for _ in bodies]
        for connection in connections:
            connection.connect()
        for connection, body in zip(connections, bodies, strict=True):
            connection.request("POST", path, body)
        answers = []
        for connection in connections:
            with connection.getresponse() as answer:
                answers.append((answer.status, answer.read().decode()))
            connection.close()
        return answers

    def joined(self, bodies: Sequence[str]) -> list[tuple[int, str]]:
        """The same, again until some of the requests have run together."""
        for _ in range(50):
            self.lines()
            answers = self.ask(bodies)
            if any(line["batch_rows"] > line["rows"] for line in self.lines()):
                return answers
        raise AssertionError("no requests ran together")


@pytest.fixture(scope="module")
def log(doubler: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    path = tmp_path_factory.mktemp("logs") / "access.log"
    with running_server(doubler, *ONCE, f"--access_log_file={path}", model="doubler") as server:
        yield Log(server, path)


def body(position: int) -> str:
    """One to three rows, in one of the two forms."""
    numbers = [10 * position + row for row in range(position % 3 + 1)]
    return json.dumps({"inputs": numbers} if position % 4 == 0 else {"instances": numbers})


def test_joined_requests_are_answered_as_those_alone(log: Log) -> None:
    bodies = [body(position) for position in range(REQUESTS)]
    alone = [log.ask([one])[0] for one in bodies]
    assert {status for status, _ in alone} == {200}
    assert len({text for _, text in alone}) == REQUESTS
    assert log.joined(bodies) == alone


def test_joined_requests_of_the_row_form_are_answered_as_those_alone(log: Log) -> None:
    bodies = [json.dumps({"instances": [position]}) for position in range(REQUESTS)]
    assert log.joined(bodies) == [log.ask([one])[0] for one in bodies]


def test_a_bad_request_fails_alone(log: Log) -> None:
    bad = [
        '{"instances": [1000]}',
        '{"instances": [',
        '{"instances": ["x"]}',
        '{"instances": [1], "signature_name": "other"}',
        "[]",
    ]
    bodies = [body(position) for position in range(REQUESTS)]
    for position, one in enumerate(bad):
        bodies.insert(7 * position, one)
    alone = [log.ask([one])[0] for one in bodies]
    assert [status for status, _ in alone].count(400) == len(bad)
    assert log.joined(bodies) == alone


def test_each_joined_request_counts(log: Log) -> None:
    bodies = [*(body(position) for position in range(REQUESTS)), '{"instances": [1000]}']

    def counts() -> list[float]:
        found = series(log.server)
        labels = '{model_name="doubler",API="predict",entrypoint="REST"}'
        return [
            *(
                found.get(f':tensorflow:serving:request_count{{model_name="doubler",status="{status}"}}', 0.0)
                for status in ("OK", "INVALID_ARGUMENT")
            ),
            found.get(f":tensorflow:serving:request_latency_count{labels}", 0.0),
        ]

    log.lines()
    before = counts()
    log.ask(bodies)
    assert [now - old for now, old in zip(counts(), before, strict=True)] == [REQUESTS, 1, REQUESTS]
    lines = log.lines()
    assert [line["status"] for line in lines].count("OK") == REQUESTS
    assert sorted(line["rows"] for line in lines if line["status"] == "OK") == sorted(
        position % 3 + 1 for position in range(REQUESTS)
    )
    assert len({line["peer"] for line in lines}) == len(bodies)


def test_an_unknown_model_is_not_found_among_others(log: Log) -> None:
    assert {status for status, _ in log.ask([body(1)] * 9, "/v1/models/other:predict")} == {404}


def test_large_outputs_are_not_joined(log: Log) -> None:
    bodies = [json.dumps({"instances": [[position]], "signature_name": "wide"}) for position in range(12)]
    log.lines()
    assert [status for status, _ in log.ask(bodies)] == [200] * len(bodies)
    assert {line["batch_rows"] for line in log.lines()} == {1}


def test_many_rows_run_alone(log: Log) -> None:
    log.lines()
    assert len(set(log.ask([json.dumps({"instances": [7] * 100})] * 9))) == 1
    assert {line["batch_rows"] for line in log.lines()} == {100}


def test_a_body_that_is_not_small_runs_alone(doubler: Path, log: Log) -> None:
    bodies = [json.dumps({"instances": [7] * SMALL})] * 9
    log.lines()
    assert len(set(log.ask(bodies))) == 1
    assert {line["batch_rows"] for line in log.lines()} == {SMALL}


def test_without_joining_each_request_runs_alone(doubler: Path, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    flags = (f"--access_log_file={path}", "--join_bursts=false")
    with running_server(doubler, *ONCE, *flags, model="doubler") as server:
        log = Log(server, path)
        for _ in range(5):
            log.ask([body(position) for position in range(REQUESTS)])
        assert all(line["batch_rows"] == line["rows"] for line in log.lines())


@pytest.mark.parametrize(
    "outputs",
    [
        {"y": np.arange(6, dtype=np.float32) / 3},
        {"y": np.arange(24, dtype=np.int64).reshape(6, 2, 2)},
        {"100%": np.array([True, False] * 3), "s": np.array([b'a"b', b"", b"%s", b"c", b"d", b"e"], object)},
        {"t_bytes": np.array([b"a"] * 6, object), "u": np.zeros((6, 0), np.float64)},
    ],
)
def test_rows_written_apart_are_rows(outputs: dict[str, np.ndarray]) -> None:
    parts = [slice(0, 1), slice(1, 4), slice(4, 6)]
    answers = [{alias: array[part] for alias, array in outputs.items()} for part in parts]
    assert rows_apart(answers) == ["".join(rows(answer)) for answer in answers]


def test_many_rows_are_not_written_apart() -> None:
    assert rows_apart([{"y": np.zeros((2, 10_000), np.float32)}] * 2) is None
    assert rows_apart([{"y": np.array([b"x" * 1_000_000], object)}] * 2) is None
