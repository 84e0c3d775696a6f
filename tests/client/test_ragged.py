"""Rows of different lengths: as TensorFlow exports them, and as values beside the lengths of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from atelier_client import Client
from atelier_client.errors import InputError

from tests.support.client_command import command
from tests.support.server import RunningServer, running_server


class Sums(tf.Module):
    """The sum of each row."""

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.float32)])
    def rows(self, x: Any) -> dict[str, Any]:
        """Values and splits, which TensorFlow calls x and x_1."""
        return {"sum": tf.reduce_sum(x, axis=1)}

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None, None], tf.float32)])
    def deep(self, x: Any) -> dict[str, Any]:
        """Values, outer and inner splits: x, x_1, x_2."""
        weights = tf.range(1, x.nrows() + 1)
        return {"sum": tf.reduce_sum(tf.reduce_sum(x, axis=2), axis=1) * tf.cast(weights, tf.float32)}

    @tf.function(
        input_signature=[
            tf.RaggedTensorSpec([None, None], tf.string),
            tf.TensorSpec([None], tf.string, name="end"),
        ]
    )
    def words(self, words: Any, end: Any) -> dict[str, Any]:
        """A ragged input beside a plain one."""
        return {"text": tf.strings.reduce_join(words, axis=1) + end}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="values"),
            tf.TensorSpec([None], tf.int64, name="lengths"),
        ]
    )
    def lengths(self, values: Any, lengths: Any) -> dict[str, Any]:
        """Values beside the lengths of the rows."""
        return {"sum": tf.reduce_sum(tf.RaggedTensor.from_row_lengths(values, lengths), axis=1)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("models")
    model = Sums()
    functions = {name: getattr(model, name) for name in ("deep", "words", "lengths")}
    tf.saved_model.save(
        model, str(folder / "sums" / "1"), signatures={"serving_default": model.rows, **functions}
    )
    with running_server(folder, model="sums") as running:
        yield running


@pytest.fixture(params=["grpc", "rest"])
def client(server: RunningServer, request: pytest.FixtureRequest) -> Iterator[Client]:
    with Client(getattr(server, request.param), "sums") as opened:
        yield opened


ROWS = [[1.0, 2], [3], [], [4, 5, 6]]


@pytest.mark.parametrize(
    "given",
    [
        ROWS,
        {"x": ROWS},
        {"x": [np.array(row, np.float32) for row in ROWS]},
        {"x": [1, 2, 3, 4, 5, 6], "x_1": [0, 2, 3, 3, 6]},
    ],
)
def test_nested_rows_become_values_and_splits(client: Client, given: Any) -> None:
    assert client.predict(given)["sum"].tolist() == [3, 3, 0, 15]


def test_every_level_has_its_splits_outermost_first(client: Client) -> None:
    rows = [[[1, 2], [3]], [], [[4]]]
    assert client.predict(rows, signature="deep")["sum"].tolist() == [6, 0, 12]
    assert client.predict(np.ones([2, 3, 4], np.float32), signature="deep")["sum"].tolist() == [12, 24]


def test_plain_inputs_beside_ragged_ones(client: Client) -> None:
    given: dict[str, Any] = {"words": [["a", "b"], [], ["c"]], "end": ["!", "?", "."]}
    assert client.predict(given, signature="words")["text"].tolist() == [b"ab!", b"?", b"c."]


def test_lengths_beside_values(client: Client) -> None:
    given = {"values": [1, 2, 3], "lengths": [2, 0, 1]}
    assert client.predict(given, signature="lengths")["sum"].tolist() == [3, 0, 3]
    with pytest.raises(InputError, match="values has 3, lengths has 2"):
        client.predict({"values": [1, 2, 3], "lengths": [2, 2]}, signature="lengths")


def test_rows_of_different_lengths_are_never_split(client: Client) -> None:
    """The splits of 3,000 rows, cut anywhere, would part the values of others."""
    lengths = np.tile([0, 2, 1], 1000)
    ones = {"x": np.ones(3000, np.float32), "x_1": np.concatenate([[0], np.cumsum(lengths)])}
    assert client.predict(ones)["sum"].tolist() == lengths.tolist()
    as_many = {"values": np.ones(3000, np.float32), "lengths": lengths}
    assert client.predict(as_many, signature="lengths")["sum"].tolist() == lengths.tolist()
    with pytest.raises(InputError, match="sent whole"):
        client.predict(as_many, signature="lengths", rows_per_request=1000)


def test_rows_that_are_no_lists_are_told_how_to_ask(client: Client) -> None:
    for given in ([1.0, 2.0], 3.0):
        with pytest.raises(InputError, match=r"ragged, with the splits of its rows in x_1.*JSON lines"):
            client.predict(given)


def test_json_lines_ask_and_columns_and_texts_are_told_so(server: RunningServer, tmp_path: Path) -> None:
    where = ("--target", server.grpc, "--model", "sums")
    (tmp_path / "rows.jsonl").write_text('{"x": [1, 2]}\n{"x": []}\n[3]\n')
    done = command("predict", tmp_path / "rows.jsonl", "--json", *where)
    assert '"sum": 3.0' in done.stdout
    (tmp_path / "rows.csv").write_text("x,label\n1,0\n")
    asked: tuple[tuple[Any, ...], ...] = (
        ("predict", tmp_path / "rows.csv"),
        ("evaluate", tmp_path / "rows.csv", "--class-names", "a,b", "--reports", tmp_path),
    )
    for arguments in asked:
        done = command(*arguments, *where)
        assert done.returncode == 2
        assert "the input x: float32 [N] is ragged" in done.stderr
        assert "JSON lines" in done.stderr
