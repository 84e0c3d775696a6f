"""The channel between supervisor and worker by itself, over a pair of sockets in this process."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from atelier_serving.status import Code, ServingError
from atelier_serving.workers.channel import Channel

PATIENCE = 20
Handlers = dict[str, Callable[..., Any]]


class Ends:
    """Both ends of a channel, and whether each has noticed its end."""

    def __init__(self, handlers: Handlers) -> None:
        ours, theirs = socket.socketpair()
        self.ended = threading.Event()
        self.other_ended = threading.Event()
        self.other = Channel(theirs, handlers, self.other_ended.set)
        self.channel = Channel(ours, {"own": lambda: "mine"}, self.ended.set)

    def close(self) -> None:
        self.other.close()
        assert self.ended.wait(PATIENCE)
        assert self.other_ended.wait(PATIENCE)


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Lets a handler go that waits for it."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def ends(release: threading.Event) -> Iterator[Ends]:
    def refuse() -> None:
        raise ServingError(Code.NOT_FOUND, "no")

    def fail() -> None:
        raise ZeroDivisionError("by zero")

    opened = Ends(
        {"double": lambda x: 2 * x, "refuse": refuse, "fail": fail, "wait": lambda: release.wait(PATIENCE)}
    )
    yield opened
    opened.close()


def test_either_end_asks_and_is_answered(ends: Ends) -> None:
    assert ends.channel.call("double", 4, seconds=PATIENCE) == 8
    assert ends.other.call("own", seconds=PATIENCE) == "mine"


def test_an_error_comes_back_as_the_status_that_it_is(ends: Ends) -> None:
    with pytest.raises(ServingError) as refused:
        ends.channel.call("refuse", seconds=PATIENCE)
    assert (refused.value.code, refused.value.message) == (Code.NOT_FOUND, "no")
    with pytest.raises(ServingError) as failed:
        ends.channel.call("fail", seconds=PATIENCE)
    assert (failed.value.code, failed.value.message) == (Code.INTERNAL, "ZeroDivisionError: by zero")


def test_a_question_without_an_answer_holds_up_no_other_and_is_unavailable_in_time(ends: Ends) -> None:
    slow = ends.channel.ask("wait")
    assert ends.channel.call("double", 4, seconds=PATIENCE) == 8
    with pytest.raises(ServingError) as raised:
        ends.channel.call("wait", seconds=0.0)
    assert raised.value.code == Code.UNAVAILABLE
    assert not slow.done()


def test_questions_that_wait_fail_when_the_channel_ends_and_so_do_later_ones(ends: Ends) -> None:
    waiting = ends.channel.ask("wait")
    ends.close()
    assert isinstance(waiting.exception(PATIENCE), ConnectionError)
    assert isinstance(ends.channel.ask("double", 4).exception(PATIENCE), ConnectionError)
    with pytest.raises(ServingError) as raised:
        ends.channel.call("double", 4, seconds=PATIENCE)
    assert raised.value.code == Code.UNAVAILABLE


def test_the_wire_is_a_line_of_json_a_message_and_half_a_line_is_not_read() -> None:
    ours, theirs = socket.socketpair()
    ended = threading.Event()
    Channel(ours, {"double": lambda x: 2 * x}, ended.set)
    with theirs:
        theirs.sendall(b'{"id": 7, "ask": "double", "with": [21]}\n')
        with theirs.makefile("rb") as lines:
            assert json.loads(lines.readline()) == {"id": 7, "answer": 42}
        theirs.sendall(b'{"id": 8, "ask"')
        theirs.shutdown(socket.SHUT_WR)
        assert ended.wait(PATIENCE)


def test_an_end_that_reads_nothing_is_not_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        channel = Channel(ours, {}, lambda: None)
        asked = [channel.ask("anything", number) for number in range(1000)]
        refused = [future for future in asked if future.done()]
        assert 0 < len(refused) < 1000
        assert {type(future.exception()) for future in refused} == {TimeoutError}
        channel.close()
        assert {type(future.exception(PATIENCE)) for future in asked} == {TimeoutError, ConnectionError}
