"""What rest/limits.py takes for granted of uvicorn's inside; a release that changes it has to fail here, loudly."""

from __future__ import annotations

import asyncio
import inspect
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import uvicorn
from atelier_serving.rest.limits import MAX_HEADER_BYTES, LimitedProtocol
from atelier_serving.rest.whole_answers import WholeAnswers
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

# Each overridden method of uvicorn's protocol, and its parameters.
OVERRIDDEN = {
    "connection_made": ["transport"],
    "data_received": ["data"],
    "send_400_response": ["msg"],
    "on_message_begin": [],
    "on_headers_complete": [],
    "on_body": ["body"],
    "on_message_complete": [],
    "on_response_complete": [],
    "eof_received": [],
    "pause_writing": [],
    "resume_writing": [],
    "_unsupported_upgrade_warning": [],
    "connection_lost": ["exc"],
}
ADVICE = "uvicorn's protocol has changed: look through rest/limits.py, then move the bound in serving/pyproject.toml"


def test_uvicorn_is_bounded_to_what_was_looked_at() -> None:
    project = Path(__file__).parents[2] / "serving" / "pyproject.toml"
    listed = tomllib.loads(project.read_text())["project"]["dependencies"]
    bounds = [re.fullmatch(r"uvicorn>=(\d+)\.(\d+),<(\d+)\.(\d+)", one) for one in listed]
    (lower, upper) = next(
        (tuple(map(int, m.groups()[:2])), tuple(map(int, m.groups()[2:]))) for m in bounds if m
    )
    assert lower <= tuple(map(int, version("uvicorn").split(".")[:2])) < upper, ADVICE


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_the_protocol_still_has_what_is_overridden(name: str) -> None:
    assert name in vars(HttpToolsProtocol), ADVICE
    assert list(inspect.signature(getattr(HttpToolsProtocol, name)).parameters)[1:] == OVERRIDDEN[name], (
        ADVICE
    )


def test_nothing_else_of_the_protocol_is_overridden() -> None:
    assert set(vars(LimitedProtocol)) & set(vars(HttpToolsProtocol)) - {"__doc__", "__module__"} == set(
        OVERRIDDEN
    )


def test_the_protocol_names_none_of_the_attributes_that_the_subclass_adds() -> None:
    source = inspect.getsource(HttpToolsProtocol)
    added = ["_header_bytes", "_in_headers", "_header_timer", "_around", "_begun", "_refusal", "_refuse"]
    added += ["_offered", "_peer", "_body_bytes", "_answer_timer", "answer_seconds", "_whole"]
    assert [name for name in added if name in source] == [], ADVICE


def test_an_answer_uses_its_transport_as_it_did() -> None:
    used = re.findall(r"transport\.(\w+)", inspect.getsource(RequestResponseCycle))
    assert set(used) == {"write", "close", "is_closing"}, ADVICE


def test_headers_leave_with_the_body() -> None:
    transport = Transport()
    answers = WholeAnswers(transport)
    interim, headers = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n"
    answers.write(interim)
    assert transport.written == [interim]
    for part in (headers, b"body", b"HTTP/1.1 is no header here"):
        answers.write(part)
    answers.flush()
    assert transport.written[1:] == [headers + b"body", b"HTTP/1.1 is no header here"]
    # An answer to HEAD has no body.
    answers.write(headers)
    answers.flush()
    assert transport.written[3:] == [headers]
    answers.write(headers)
    answers.close()
    assert transport.written[4:] == [headers]
    assert answers.is_closing()


class Transport(asyncio.Transport):
    """Remembers what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def test_the_parser_calls_the_overridden_methods_in_order() -> None:
    """One connection on a real socket: two requests, then what is none."""
    calls: list[str] = []

    class Watched(LimitedProtocol):
        def on_message_begin(self) -> None:
            super().on_message_begin()
            calls.append(f"begin {self._in_headers}")

        def on_headers_complete(self) -> None:
            super().on_headers_complete()
            calls.append(f"headers {self._in_headers} {self._header_timer.cancelled()}")

        def send_400_response(self, msg: str) -> None:
            calls.append("400")
            super().send_400_response(msg)

    get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    answers = asyncio.run(_converse(Watched, [get, get, b"\r\nno request\r\n\r\n"]))
    assert calls[:4] == ["begin True", "headers False True"] * 2, ADVICE
    assert calls[-1] == "400", ADVICE
    assert answers.count(b"HTTP/1.1 204") == 2


@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["new", "kept"])
def test_a_method_that_the_parser_does_not_know_is_answered_with_501(before: bytes) -> None:
    answer = asyncio.run(_converse(LimitedProtocol, [*filter(None, [before]), b"FOO / HTTP/1.1\r\n\r\n"]))
    assert answer.startswith(b"HTTP/1.1 204 ") == bool(before)
    answer = answer[answer.index(b"HTTP/1.1 501") :]
    assert answer.startswith(b"HTTP/1.1 501 "), ADVICE
    head = b"<HTML><HEAD>\n<TITLE>501 Not Implemented</TITLE>\n</HEAD>"
    body = b"<BODY>\n<H1>Not Implemented</H1>\n</BODY></HTML>\n"
    assert answer.endswith(b"\r\n\r\n" + head + body)


def test_headers_without_an_end_close_the_connection() -> None:
    piece = b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEADER_BYTES
    assert asyncio.run(_converse(LimitedProtocol, [piece])) == b"", ADVICE


async def _converse(protocol: type[LimitedProtocol], requests: list[bytes]) -> bytes:
    """Everything that a server with this protocol sends until it closes the connection."""

    async def app(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]

    config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none")
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: protocol(config, ServerState(), {}), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        received = b""
        for index, request in enumerate(requests):
            writer.write(request)
            if index + 1 < len(requests):
                received += await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        received += await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return received
