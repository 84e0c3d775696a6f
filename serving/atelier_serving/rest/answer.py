"""An HTTP response as plain data."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


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
