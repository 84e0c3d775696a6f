"""Questions that are wrong or meant to harm: one clear sentence each, and the console goes on."""

from __future__ import annotations

import base64
import io
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.console import RunningConsole, running_console
from tests.support.ports import free_port


def png(width: int, height: int, mode: str = "L", shade: int = 255) -> bytes:
    """A picture of one shade."""
    buffer = io.BytesIO()
    Image.new(mode, (width, height), shade).save(buffer, "PNG")
    return buffer.getvalue()


def noise(width: int, height: int) -> bytes:
    """A picture without any plain background."""
    buffer = io.BytesIO()
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, [height, width], np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises so many points, with next to no bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000)))


PICTURES = {
    "empty": (b"", "This is no picture"),
    "one point": (png(1, 1), "nothing to see in the picture of 1 x 1 points"),
    "blank": (png(280, 280), "nothing to see in the picture of 280 x 280 points"),
    "blank in the model's own size": (png(28, 28), "nothing to see in the picture of 28 x 28 points"),
    "long and thin": (noise(200_000, 1), "too long and thin for the model's 28 x 28"),
    "no picture": (b"GIF89a" + bytes(100), "This is no picture"),
    "cut short": (png(280, 280)[:60], "cannot be read as PNG or JPEG"),
    "many points": (png(6000, 5000), "6000 x 5000 points, the console takes 25 million"),
    "bomb": (bomb(60_000, 60_000), "the console takes"),
    "wide bomb": (bomb(2_000_000_000, 1), "the console takes"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_hostile_picture_is_one_sentence(console: RunningConsole, name: str) -> None:
    data, sentence = PICTURES[name]
    status, found = console.ask({"kind": "picture", "data": base64.b64encode(data).decode()})
    assert status == 400
    assert sentence in found["error"]
    assert "\n" not in found["error"]


def test_a_hundred_megabytes_are_refused_and_not_kept(console: RunningConsole) -> None:
    before = _peak(console)
    status, found = console.post("/api/models/fashion/ask", b" " * (100 << 20))
    assert status == 413
    assert "more than 12 MB" in found["error"]
    assert _peak(console) - before < 60 << 20


def _peak(console: RunningConsole) -> int:
    """The most memory that the console has held, in bytes."""
    lines = Path(f"/proc/{console.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (b"{", "The question is no JSON object"),
        (b"[]", "The question is no JSON object"),
        (b"[" * 100_000, "The question is no JSON object"),
        ({}, "There is no input of the kind None"),
        ({"kind": "picture"}, "lacks 'data'"),
        ({"kind": "picture", "data": "%%"}, "no base64"),
        ({"kind": "text", "text": "a"}, "fashion takes no text: it takes picture"),
        ({"kind": "example", "number": 99_999}, "no test example 99999"),
        ({"kind": "json", "signature": "x", "text": "1"}, "no signature 'x'"),
        ({"kind": "json", "text": '{"images": [[1]]}'}, "images: uint8"),
        ({"kind": "json", "text": "[" * 5000}, "The JSON cannot be read"),
        ({"kind": "json", "text": "[" * 900 + "]" * 900}, "nested more than 32 deep"),
        ({"kind": "json", "text": '{"images": ' * 900 + "1" + "}" * 900}, "nested more than 32 deep"),
        ({"kind": "example", "number": True}, "no test example True"),
    ],
)
def test_a_wrong_question_is_one_sentence(console: RunningConsole, document: object, sentence: str) -> None:
    status, found = console.ask(document)
    assert status == 400 or (status == 404 and "example" in sentence), found
    assert sentence in found["error"]


def test_a_column_that_the_model_does_not_take_is_said(console: RunningConsole) -> None:
    values = {"age": "30", "city": "Rome"}
    assert console.ask({"kind": "row", "values": values}, "customers")[0] == 200
    status, found = console.ask({"kind": "row", "values": {**values, "town": "Rome"}}, "customers")
    assert status == 400
    assert found["error"] == "The model takes no column 'town'. It takes age, city."


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/try?model=absent", "no model &#39;absent&#39;"),
        ("/nowhere", "no page /nowhere"),
        ("/reports/..%2fmodels.config", "There is no"),
        ("/static/../server.py", "There is no"),
        ("/models/compare?a=1&b=9", "There is no version 9"),
    ],
)
def test_an_address_that_leads_nowhere_is_said(console: RunningConsole, path: str, sentence: str) -> None:
    status, page = console.get(path)
    assert status == 404
    assert sentence in page


def test_a_server_that_is_away_is_said_on_every_page(folder: Path) -> None:
    """What the model repository knows is shown all the same."""
    port = free_port()
    with running_console(folder, f"127.0.0.1:{port}") as console:
        status, page = console.get("/try?model=fashion")
        assert status == 200
        assert "Cannot reach a model server" in page
        status, found = console.ask({"kind": "example", "number": 0})
        assert status == 502
        assert "Cannot reach a model server" in found["error"]
        status, page = console.get("/models?model=fashion")
        assert status == 200
        assert "Cannot reach a model server" in page
        assert "Metrics of the model card" in page
        assert console.get("/live?model=fashion")[0] == 200
        assert "Cannot read the server" in console.get("/api/models/fashion/live")[1]
        assert "Traceback" not in console.log_text()


def test_a_connection_that_says_nothing_holds_nobody_up(console: RunningConsole) -> None:
    host, port = console.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as silent:
        silent.sendall(
            b"POST /api/models/fashion/ask HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
        )
        assert console.get("/healthz") == (200, "ok\n")
