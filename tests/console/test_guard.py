"""Who may ask: the address, other pages, the token."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.console import RunningConsole, running_console
from tests.support.server import RunningServer

TOKEN = "0123456789abcdef0123"
ASK = "/api/models/toy/ask"
GIVEN = {"kind": "json", "text": '{"x": [1]}'}


@pytest.fixture(scope="module")
def closed(folder: Path, server: RunningServer) -> Iterator[RunningConsole]:
    """A console with a token."""
    with running_console(folder, server.grpc, environ={"ATELIER_CONSOLE_TOKEN": TOKEN}) as running:
        yield running


def raw(console: RunningConsole, method: str, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    """(status, headers in lower case); redirects are not followed."""
    connection = http.client.HTTPConnection(console.url.removeprefix("http://"), timeout=20)
    connection.request(
        method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    answer = connection.getresponse()
    found = {name.lower(): value for name, value in answer.getheaders()}
    connection.close()
    return answer.status, found


@pytest.mark.parametrize("path", ["/try", "/models", "/live", "/static/try.js", "/nowhere", "/healthz"])
def test_every_answer_has_the_policy(console: RunningConsole, path: str) -> None:
    _, headers = raw(console, "GET", path)
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8600", "127.0.0.1.evil.example", "", "[::"])
def test_a_name_of_another_page_is_refused(console: RunningConsole, host: str) -> None:
    """DNS rebinding: the page's own name leads to this machine."""
    assert raw(console, "GET", "/try", Host=host)[0] == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:8600", "127.0.0.1", "[::1]:8600"])
def test_names_of_this_machine_are_taken(console: RunningConsole, host: str) -> None:
    assert raw(console, "GET", "/healthz", Host=host)[0] == 200


def test_another_page_cannot_post(console: RunningConsole) -> None:
    assert console.post(ASK, GIVEN)[0] == 200
    assert console.post(ASK, GIVEN, {"origin": console.url})[0] == 200
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "http://["):
        assert console.post(ASK, GIVEN, {"origin": origin})[0] == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert console.post(ASK, GIVEN, {"content-type": kind})[0] == 415


def test_without_the_token_nothing_but_the_health_is_answered(closed: RunningConsole) -> None:
    assert closed.get("/healthz")[0] == 200
    for path in ("/", "/try", "/models", "/metrics", "/static/try.js", "/reports/x.html"):
        status, said = closed.get(path)
        assert status == 401
        assert "asks for its token" in said
    assert closed.post(ASK, GIVEN)[0] == 401
    assert closed.get("/try", {"authorization": f"Bearer {TOKEN}x"})[0] == 401
    assert closed.get("/try?token=wrong")[0] == 401


def test_the_token_opens_as_a_header(closed: RunningConsole) -> None:
    known = {"authorization": f"Bearer {TOKEN}"}
    assert closed.get("/try?model=toy", known)[0] == 200
    assert closed.post(ASK, GIVEN, known)[0] == 200


def test_the_first_visit_sets_a_cookie_that_is_not_the_token(closed: RunningConsole) -> None:
    status, headers = raw(closed, "GET", f"/try?model=toy&token={TOKEN}")
    assert (status, headers["location"]) == (303, "/try?model=toy")
    cookie = headers["set-cookie"]
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=lax"} <= set(cookie.split("; "))
    assert raw(closed, "GET", "/try?model=toy", Cookie=cookie.partition(";")[0])[0] == 200
    assert raw(closed, "GET", "/try?model=toy", Cookie="atelier_console=x")[0] == 401


def test_the_redirect_stays_on_this_host(closed: RunningConsole) -> None:
    status, headers = raw(closed, "GET", f"//evil.example/?token={TOKEN}")
    assert status in (303, 401, 404)
    assert not headers.get("location", "/").startswith("//")
