"""HTTP itself, as clients of many kinds speak it: offers of HTTP/2, pipelining, HTTP/1.0, error pages."""

import re
import socket
from urllib.parse import urlsplit

import pytest

from tests.support.server import RunningServer
from tests.support.wire import http

TOY = "/v1/models/toy"
BODY = b'{"instances": [1]}'
ANSWER = b'{\n    "predictions": [2.0\n    ]\n}'
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n8\r\n%s\r\na\r\n%s\r\n0\r\n\r\n" % (BODY[:8], BODY[8:])


def exchanged(server: RunningServer, *pieces: bytes, answers: int = 1) -> list[tuple[int, bytes, bytes]]:
    """(status, headers, body) of so many answers to the bytes, each piece sent by itself; to the end when fewer."""
    url = urlsplit(server.rest)
    with socket.create_connection((str(url.hostname), url.port or 0), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        received = b""
        found: list[tuple[int, bytes, bytes]] = []
        while len(found) < answers:
            head, end, rest = received.partition(b"\r\n\r\n")
            size = int((re.search(rb"(?i)content-length: (\d+)", head) or [b"", b"0"])[1])
            if end and len(rest) >= size:
                found.append((int(head.split()[1]), head.lower(), rest[:size]))
                received = rest[size:]
                continue
            got = connection.recv(65536)
            if not got:
                break
            received += got
        return found


@pytest.mark.parametrize("rest", [LENGTH, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [10_000, 60, 1])
@pytest.mark.parametrize("offer", [OFFER, OFFER.replace(b"h2c", b"websocket"), OFFER.lower()])
def test_an_offer_of_another_protocol_is_ignored(
    server: RunningServer, offer: bytes, size: int, rest: bytes
) -> None:
    request = b"POST %s:predict HTTP/1.1\r\nHost: h\r\n" % TOY.encode() + offer + rest
    pieces = [request[start : start + size] for start in range(0, len(request), size)]
    ((status, headers, body),) = exchanged(server, *pieces)
    assert (status, body) == (200, ANSWER)
    assert b"upgrade" not in headers


@pytest.mark.deviation
def test_lines_that_end_with_lf_alone_are_no_request(server: RunningServer) -> None:
    """libevent takes them (evbuffer_readln with EVBUFFER_EOL_CRLF)."""
    request = b"POST %s:predict HTTP/1.1\nHost: h\nContent-Length: %d\n\n%s" % (TOY.encode(), len(BODY), BODY)
    ((status, _, _),) = exchanged(server, request)
    assert status == 400


def test_pipelined_requests_are_answered_in_order(server: RunningServer) -> None:
    predict = b"POST %s:predict HTTP/1.1\r\nHost: h\r\n" % TOY.encode()
    status = b"GET %s HTTP/1.1\r\nHost: h\r\n" % TOY.encode()
    requests = predict + OFFER + LENGTH + status + b"\r\n" + predict + LENGTH + status + OFFER + b"\r\n"
    answers = exchanged(server, requests, answers=4)
    assert [code for code, _, _ in answers] == [200] * 4
    assert [b"predictions" in body for _, _, body in answers] == [True, False, True, False]


def test_a_connection_of_http_1_0_is_kept_when_asked_for(server: RunningServer) -> None:
    predict = b"POST %s:predict HTTP/1.0\r\n" % TOY.encode()
    kept = predict + b"Connection: keep-alive\r\n" + LENGTH
    answers = exchanged(server, kept, kept, kept, answers=3)
    assert [(code, body) for code, _, body in answers] == [(200, ANSWER)] * 3
    assert all(b"connection: keep-alive" in headers for _, headers, _ in answers)
    assert len(exchanged(server, predict + LENGTH, answers=2)) == 1
    # An offer does not ask for it: the client waits for the end of the connection.
    ((_, headers, _),) = exchanged(server, predict + OFFER + LENGTH)
    assert b"connection: close" in headers


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("requests", [1, 3])
def test_a_client_that_sends_no_more_gets_its_answers(
    server: RunningServer, version: bytes, requests: int
) -> None:
    """As `printf ... | socat - TCP:host:port` does: it shuts down its side of the connection, and waits."""
    url = urlsplit(server.rest)
    kept = b"Connection: keep-alive\r\n"
    request = b"POST %s:predict HTTP/%s\r\nHost: h\r\n%s%s" % (TOY.encode(), version, kept, LENGTH)
    with socket.create_connection((str(url.hostname), url.port or 0), timeout=10) as connection:
        connection.sendall(request * requests)
        connection.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.count(ANSWER) == received.count(b"200 OK") == requests


def page(title: str) -> bytes:
    """libevent's error page."""
    return f"<HTML><HEAD>\n<TITLE>{title}</TITLE>\n</HEAD><BODY>\n<H1>{title[4:]}</H1>\n</BODY></HTML>\n".encode()


@pytest.mark.parametrize("path", ["/index.html", "/v1", "/v3/models/toy"])
def test_the_page_for_no_such_path_is_libevents(server: RunningServer, path: str) -> None:
    got, text, headers = http(server, path)
    assert (got, text) == (404, page("404 Not Found"))
    assert headers["Content-Type"] == "text/html"


def test_a_bad_escape_is_a_bad_request(server: RunningServer) -> None:
    for path in ("/v1/models/%zz", f"{TOY}%4:predict", "/v1/models/t%"):
        assert http(server, path)[:2] == (400, page("400 Bad Request"))


@pytest.mark.parametrize("method", ["get", "Post", "TRACE", "BREW"])
def test_the_page_for_an_unknown_method_is_libevents(server: RunningServer, method: str) -> None:
    ((status, _, body),) = exchanged(server, f"{method} {TOY} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert (status, body) == (501, page("501 Not Implemented"))


STATUS = f"GET {TOY} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
PREDICT = b"POST %s:predict HTTP/1.1\r\nHost: h\r\n" % TOY.encode() + LENGTH


@pytest.mark.parametrize("method", [b"BREW", b"get", b"FOO-BAR", b"PROPFIND", b"QUERY"])
@pytest.mark.parametrize(
    "before",
    [[STATUS], [STATUS, PREDICT], [STATUS + PREDICT], [PREDICT]],
    ids=["one", "two", "two at once", "a body"],
)
@pytest.mark.parametrize("cut", [0, 2, 5])
def test_an_unknown_method_comes_after_the_answers_to_what_came_before(
    server: RunningServer, method: bytes, before: list[bytes], cut: int
) -> None:
    request = b"%s %s HTTP/1.1\r\nHost: h\r\n\r\n" % (method, TOY.encode())
    pieces = [*before, request[:cut], request[cut:]] if cut else [*before[:-1], before[-1] + request]
    wanted = b"".join(before).count(b"HTTP/1.1") + 1
    answers = exchanged(server, *pieces, answers=wanted)
    assert [code for code, _, _ in answers] == [200] * (wanted - 1) + [501]
    assert answers[-1][2] == page("501 Not Implemented")


@pytest.mark.parametrize("request_line", [b"PRI * HTTP/2.0\r\n\r\nSM", b"CONNECT h:80 HTTP/1.1"])
def test_a_tunnel_is_not_implemented(server: RunningServer, request_line: bytes) -> None:
    ((code, _, body),) = exchanged(server, request_line + b"\r\n\r\n")
    assert (code, body) == (501, page("501 Not Implemented"))


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b'{"instances": [1]}\r\n\r\n',
        b"GET /v1/models/toy HTTP/9.9\r\n\r\n",
        b"POST /v1/models/toy:predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/models/toy:predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET toy HTTP/1.1\r\n\r\n",
    ],
    ids=["TLS", "no request", "version", "chunk", "length", "path"],
)
def test_what_is_no_http_is_a_bad_request_with_libevents_page(server: RunningServer, garbage: bytes) -> None:
    ((code, _, body),) = exchanged(server, garbage)
    assert (code, body) == (400, page("400 Bad Request"))


@pytest.mark.parametrize("form", ['{"instances": %s}', '{"instances": [{"x": %s}]}', '{"inputs": %s}'])
@pytest.mark.parametrize("depth", [65, 190, 900, 1000])
def test_lists_nested_deeper_than_a_tensor_are_refused(server: RunningServer, form: str, depth: int) -> None:
    nested = "[" * depth + "1" + "]" * depth
    for value in (nested, f"[{nested}, 1]"):
        code, text, _ = http(server, f"{TOY}:predict", (form % value).encode())
        assert code == 400, text


def test_a_refused_options_request_has_no_body(server: RunningServer) -> None:
    got, text, headers = http(server, TOY, method="OPTIONS")
    assert (got, text, headers["Content-Type"]) == (400, b"", "text/html; charset=ISO-8859-1")


def test_whole_floats_in_metadata_have_no_decimals(server: RunningServer) -> None:
    text = http(server, f"{TOY}/metadata")[1].decode()
    # The default of `defaulted`, 3.0.
    assert re.search(r'"float_val": \[\s+3\s+\]', text)
