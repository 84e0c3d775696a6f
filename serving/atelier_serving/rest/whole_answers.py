"""Answers in one write: the line of the status and the headers leave together with the beginning of the body."""

from __future__ import annotations

import asyncio


class WholeAnswers:
    """What uvicorn writes the answers of a connection to: first the headers, then the body. Each write costs 10 us."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._headers = b""

    def write(self, data: bytes) -> None:
        """Write a part of an answer. Headers wait for the body or for `flush`."""
        if data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 100") and not self._headers:
            self._headers = data
        else:
            self._transport.write(self._headers + data)
            self._headers = b""

    def flush(self) -> None:
        """The answer has ended."""
        if self._headers:
            self.write(b"")

    def close(self) -> None:
        """Close the connection after what was written."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is being closed."""
        return self._transport.is_closing()
