"""Cross-origin requests (--rest_api_enable_cors_support)."""

from __future__ import annotations

import re

from atelier_serving.rest.answer import HTML, Answer
from atelier_serving.rest.request import Request

HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


def preflight(request: Request, headers: dict[str, str]) -> Answer:
    """The answer to OPTIONS, with these headers."""
    allowed = re.match(r"https?://", request.headers.get("origin", ""))
    return Answer(200 if allowed else 400, b"", HTML, headers)
