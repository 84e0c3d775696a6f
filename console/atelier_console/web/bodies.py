"""The body of a question, within its limits of size and time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import ClientDisconnect, Request

from atelier_console.problems import Problem, TooMuch
from atelier_console.texts import say

# A picture is sent in base64, which is a third longer.
MOST_PICTURE = 8 << 20
MOST_BYTES = 12 << 20
# Of what is too large the rest is read and thrown away, so that its sender can read the answer.
_MOST_PASSED_OVER = 1 << 30
_SECONDS = 60.0


async def read_json(request: Request) -> dict[str, Any]:
    """The JSON object of a question. Raises `TooMuch`, or `Problem` for what is none or comes too slowly."""
    try:
        async with asyncio.timeout(_SECONDS):
            body = await _read(request)
    except TimeoutError:
        raise Problem(say("slow", seconds=_SECONDS)) from None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem(say("no_json", why=error)) from None
    if not isinstance(value, dict):
        raise Problem(say("no_json", why=type(value).__name__))
    return value


async def _read(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size <= MOST_BYTES:
                parts.append(part)
            else:
                parts.clear()
            if size > _MOST_PASSED_OVER:
                break
    except ClientDisconnect:
        raise Problem(say("slow", seconds=_SECONDS)) from None
    if size > MOST_BYTES:
        raise TooMuch(say("too_much", most=MOST_BYTES >> 20, picture=MOST_PICTURE >> 20))
    return b"".join(parts)
