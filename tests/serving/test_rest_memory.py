"""Documents whose values need far more memory than their bytes, and documents that are large: nobody else notices."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.support.server import RunningServer, running_server
from tests.support.toy_models import save_toy

PREDICT = "/v1/models/toy:predict"
ALLOWED = 512 * 2**20
HUGE = 99 * 10**6


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with one toy model."""
    models = tmp_path_factory.mktemp("models")
    save_toy(models)
    with running_server(models, model="toy") as running:
        for _ in range(50):
            assert post(running, b'{"instances": [1.0]}')[0] == 200
        yield running


def post(
    server: RunningServer, body: bytes, packed: bool = False, seconds: float = 120, path: str = PREDICT
) -> tuple[int, bytes]:
    """(status, answer) of a request, predict if not told otherwise."""
    url = urlsplit(server.rest)
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=seconds)
    try:
        connection.request("POST", path, body, {"Content-Encoding": "gzip"} if packed else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Watch:
    """A client of small requests beside what is tried, and the memory of the server meanwhile."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self.resting = server.resident()
        self.peak = 0
        self.seconds: list[float] = []
        self.failed: list[int] = []
        self._ended = threading.Event()

    def __enter__(self) -> Watch:
        self._threads = [threading.Thread(target=self._look), threading.Thread(target=self._ask)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.002):
            self.peak = max(self.peak, self._server.resident())

    def _ask(self) -> None:
        while not self._ended.wait(0.005):
            began = time.perf_counter()
            status, _ = post(self._server, b'{"instances": [1.0, 2.0]}')
            self.seconds.append(time.perf_counter() - began)
            if status != 200:
                self.failed.append(status)


def repeated(start: bytes, item: bytes, size: int = HUGE) -> bytes:
    """A document of about `size` bytes: `start`, many times the item, and the end."""
    return start + b",".join([item] * (size // (len(item) + 1))) + b"]}"


BOMBS = {
    "objects": b"{}",
    "lists": b"[]",
    "lists in lists": b"[[[[]]]]",
    "texts": b'""',
    "members": b'{"x":0}',
    "equal names": b'{"x":0,"x":0}',
    "lists of one": b"[1]",
    "null": b"null",
    "whole numbers": b"1",
    "numbers and texts": b'1,""',
    "broken at once": b"{},,",
}


# Of the kinds that differ little, one is in `make test` and all are in `make soak`.
SOAKED = (
    *("lists", "texts", "members", "lists of one", "null"),
    *(
        "whole numbers",
        "one text",
        "wide texts",
        "escapes of characters",
        "one fraction",
        "one exponent",
        "blanks",
    ),
    *("values of an example", "a text of an example"),
)


def kinds(table: Mapping[str, Any]) -> list[Any]:
    """The values of a table as parameters of a test, named by their keys."""
    return [
        pytest.param(value, id=name, marks=[pytest.mark.soak] if name in SOAKED else [])
        for name, value in table.items()
    ]


@pytest.mark.parametrize("item", kinds(BOMBS))
def test_three_small_bodies_that_unpack_to_much_stay_within_the_budget(
    server: RunningServer, item: bytes
) -> None:
    body = gzip.compress(repeated(b'{"instances":[', item), 9)
    got: list[int] = []
    with Watch(server) as watch:
        attacks = [threading.Thread(target=lambda: got.append(post(server, body, True)[0])) for _ in range(3)]
        for thread in attacks:
            thread.start()
        for thread in attacks:
            thread.join()
    assert len(got) == 3
    assert set(got) <= {200, 400, 429}
    assert watch.peak - watch.resting < ALLOWED
    assert not watch.failed


PREDICT_TEXTS = b'{"signature_name":"echo","inputs":{"number":[1],"text":['
EXAMPLES = b'{"examples":['
# The path's end, and what makes a document whose parts are long rather than many.
LONG: dict[str, tuple[str, Callable[[], bytes]]] = {
    "one text": ("predict", lambda: PREDICT_TEXTS + b'"' + b"a" * HUGE + b'"]}}'),
    "one wide text": (
        "predict",
        lambda: b'{"instances":["' + b"a" * HUGE + "\N{GRINNING FACE}".encode() + b'"]}',
    ),
    "wide texts": (
        "predict",
        lambda: repeated(b'{"instances":[', b'"' + b"a" * 60_000 + "\N{GRINNING FACE}".encode() + b'"'),
    ),
    "escapes": ("predict", lambda: PREDICT_TEXTS + b'"' + b"\\n" * (HUGE // 2) + b'"]}}'),
    "escapes of characters": ("predict", lambda: PREDICT_TEXTS + b'"' + b"\\u4e00" * (HUGE // 6) + b'"]}}'),
    "base64": ("predict", lambda: PREDICT_TEXTS + b'{"b64":"' + b"A" * 48_000_000 + b'"}]}}'),
    "one number": ("predict", lambda: b'{"instances":[' + b"1" * HUGE + b"]}"),
    "one fraction": ("predict", lambda: b'{"instances":[0.' + b"1" * HUGE + b"]}"),
    "one exponent": ("predict", lambda: b'{"instances":[1e' + b"0" * HUGE + b"1]}"),
    "blanks": ("predict", lambda: b'{"instances":[1,' + b" " * HUGE + b"1]}"),
    "one name": ("predict", lambda: b'{"' + b"a" * HUGE + b'":1,"instances":[1]}'),
    "lists in lists": ("predict", lambda: b'{"instances":[' + b"[" * HUGE + b"]}"),
    "examples": ("classify", lambda: repeated(EXAMPLES, b"{}", 20_000_000)),
    "values of an example": (
        "regress",
        lambda: repeated(EXAMPLES + b'{"x":[', b"0", 20_000_000)[:-1] + b"}]}",
    ),
    "a text of an example": ("classify", lambda: EXAMPLES + b'{"x":"' + b"a" * HUGE + b'"}]}'),
    "a context for each example": (
        "regress",
        lambda: repeated(b'{"context":{"c":"' + b"a" * 60_000 + b'"},"examples":[', b"{}", 60_000),
    ),
}


@pytest.mark.parametrize("case", kinds(LONG))
def test_parts_that_are_long_stay_within_the_budget(
    server: RunningServer, case: tuple[str, Callable[[], bytes]]
) -> None:
    method, document = case
    body = gzip.compress(document(), 6)
    path = f"/v1/models/toy:{method}"
    got: list[int] = []
    with Watch(server) as watch:
        attacks = [
            threading.Thread(target=lambda: got.append(post(server, body, True, path=path)[0]))
            for _ in range(3)
        ]
        for thread in attacks:
            thread.start()
        for thread in attacks:
            thread.join()
    assert len(got) == 3
    assert set(got) <= {200, 400, 429}
    assert watch.peak - watch.resting < ALLOWED
    assert not watch.failed


def test_memory_goes_back_whichever_threads_have_read(server: RunningServer) -> None:
    """The C library keeps what a thread has freed for that thread: not much of it, for all of them together."""
    body = gzip.compress(b'{"instances":[1,' + b" " * 60_000_000 + b"1]}", 6)
    assert post(server, body, True)[0] == 200
    resting = server.resident()
    for _ in range(12):
        assert post(server, body, True)[0] == 200
    deadline = time.monotonic() + 10
    while server.resident() - resting > 96 * 2**20:
        assert time.monotonic() < deadline, (server.resident() - resting) / 2**20
        time.sleep(0.1)


def test_a_long_text_is_answered_as_it_came(server: RunningServer) -> None:
    text = 'ä"\n\\\N{GRINNING FACE}\u4e00x' * 60_000
    for ascii_only in (True, False):
        document = {"signature_name": "echo", "instances": [{"text": text, "number": 1}]}
        body = json.dumps(document, ensure_ascii=ascii_only).encode()
        status, answer = post(server, body)
        assert status == 200
        (row,) = json.loads(answer)["predictions"]
        assert row["text"] == text
        assert base64.b64decode(row["raw_bytes"]["b64"]) == text.encode()
    packed = base64.b64encode(text.encode()).decode()

    def of_bytes(form: str) -> bytes:
        inputs = {"text": [{"b64": form}], "number": [1]}
        return json.dumps({"signature_name": "echo", "inputs": inputs}).encode()

    spaced = "\n".join(packed[start : start + 76] for start in range(0, len(packed), 76))
    for form in (packed, spaced, packed.rstrip("="), packed + "=="):
        status, answer = post(server, of_bytes(form))
        assert status == 200
        assert json.loads(answer)["outputs"]["text"] == [text]
    for broken in (packed[:90_000] + "=" + packed[90_000:], packed + "=A", "é" + packed):
        assert post(server, of_bytes(broken))[0] == 400


@pytest.mark.parametrize(
    "item",
    [
        b"{}",
        b'"text"',
        b"[0.5,0.5]",
        pytest.param(b"0.25", marks=pytest.mark.soak),
        pytest.param(b"12345", marks=pytest.mark.soak),
    ],
)
def test_a_plain_document_of_99_megabytes_stays_within_the_budget(server: RunningServer, item: bytes) -> None:
    body = repeated(b'{"instances":[', item)
    with Watch(server) as watch:
        status, _ = post(server, body)
    assert status in (200, 400, 429)
    if item in (b"0.25", b"12345"):
        assert status == 200
    assert watch.peak - watch.resting < ALLOWED
    assert not watch.failed


def test_memory_goes_back_and_others_do_not_wait(server: RunningServer) -> None:
    body = gzip.compress(repeated(b'{"instances":[', b"{}"), 9)
    with Watch(server) as watch:
        for _ in range(3):
            status, text = post(server, body, True)
            assert status == 429
            assert "all documents together may have" in json.loads(text)["error"]
    deadline = time.monotonic() + 10
    while server.resident() - watch.resting > 128 * 2**20:
        assert time.monotonic() < deadline, (server.resident() - watch.resting) / 2**20
        time.sleep(0.1)
    # What a busy machine adds is left aside: the fault were 40 s.
    assert max(watch.seconds) < 10


def test_reading_ends_when_the_client_is_gone(server: RunningServer) -> None:
    url = urlsplit(server.rest)
    # Text by text, so that reading takes a while.
    body = repeated(b'{"instances":[1,', b"NaN,1", 60 * 10**6)

    def cpu() -> float:
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=30)
    connection.request("POST", PREDICT, body)
    time.sleep(0.3)
    connection.close()
    time.sleep(1.0)
    before = cpu()
    time.sleep(2.0)
    assert cpu() - before < 1.0
    assert post(server, b'{"instances": [1.0]}')[0] == 200


def test_a_large_answer_is_written_as_a_small_one(server: RunningServer) -> None:
    values = (np.arange(300_000) / 4).tolist()
    for shape in (
        (300_000,),
        (30, 10_000),
        (1, 300_000),
        (3, 100_000),
        (100, 3000),
        (10, 10, 3000),
        (1, 2, 150_000),
    ):
        rows = np.reshape(values, shape).tolist()
        status, text = post(server, json.dumps({"instances": rows}).encode())
        assert status == 200
        assert json.loads(text)["predictions"] == (np.reshape(values, shape) * 2).tolist()
        assert text.startswith(b'{\n    "predictions": [')
        assert text.endswith(b"\n    ]\n}")
        status, text = post(server, json.dumps({"inputs": rows}).encode())
        assert status == 200
        assert json.loads(text)["outputs"] == (np.reshape(values, shape) * 2).tolist()
        indented = json.dumps({"outputs": (np.reshape(values, shape) * 2).tolist()}, indent=4)
        assert text.split()[:50] == indented.encode().split()[:50]
        assert [len(line) for line in text.splitlines()][:9] == [len(x) for x in indented.splitlines()][:9]


def test_a_large_answer_to_a_small_document_stays_within_the_budget(server: RunningServer) -> None:
    def body(numbers: int) -> bytes:
        return b'{"signature_name": "large", "instances": [%d]}' % numbers

    with Watch(server) as watch:
        status, text = post(server, body(50_000_000))
    assert (status, watch.failed) == (429, [])
    assert b"or of its answer need more than the memory that is left" in text
    assert watch.peak - watch.resting < ALLOWED
    # What fits is answered, again and again.
    for _ in range(3):
        status, text = post(server, body(2_000_000))
        assert status == 200
        assert text.count(b"1.0") == 2_000_000
