"""Who has sent an HTTP request, for the logs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class HttpCaller:
    """The other side of a request by its ASGI `scope`, which is read only when a log wants to know."""

    __slots__ = ("_scope",)

    def __init__(self, scope: Any) -> None:
        self._scope = scope

    def peer(self) -> str:
        """Its address, host:port; empty when it is not known."""
        client = self._scope["client"]
        return f"{client[0]}:{client[1]}" if client else ""

    def headers(self) -> Iterable[tuple[str | bytes, str | bytes]]:
        """Names, in lower case, and values of all headers, also of those that came twice."""
        return self._scope["headers"]  # type: ignore[no-any-return]
