"""An HTTP response as plain data."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from atelier_serving.status import TRUNCATED, Code

HTML = "text/html; charset=ISO-8859-1"
# model_servers/http_server.cc:46-87; every other code is 500.
HTTP_STATUS = {
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.OUT_OF_RANGE: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.ABORTED: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}
# Nobody reads more of an error's text, which may show names of the request as they came.
_MAX_MESSAGE = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """Status, body and headers of one HTTP response."""

    status: int
    body: bytes
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(status: int, document: Any, headers: dict[str, str] | None = None) -> Answer:
    """A response with a JSON document."""
    return Answer(status, json.dumps(document, indent=4).encode() + b"\n", headers=headers or {})


def html_page(title: str) -> bytes:
    """An error page as libevent writes it: TensorFlow Serving's HTTP server is based on libevent."""
    return f"<HTML><HEAD>\n<TITLE>{title}</TITLE>\n</HEAD><BODY>\n<H1>{title[4:]}</H1>\n</BODY></HTML>\n".encode()


def shortened(message: str) -> str:
    """An error's text, cut where nobody reads on."""
    return message if len(message) <= _MAX_MESSAGE else message[:_MAX_MESSAGE] + TRUNCATED
