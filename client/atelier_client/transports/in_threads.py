"""A blocking transport for asyncio: each call in a thread."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from atelier_client.errors import SettingsError
from atelier_client.transports.base import Method, Transport

# One AsyncClient makes at most so many calls at once; further calls wait.
_MOST_THREADS = 256


class InThreads:
    """An `AsyncTransport` of a blocking one, in its own threads, because asyncio's default pool has few."""

    def __init__(self, blocking: Transport) -> None:
        self._blocking = blocking
        self._threads = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="rest")

    async def call(
        self, method: Method, request: bytes, timeout: float, traceparent: str | None = None
    ) -> Any:
        """As `AsyncTransport.call`."""
        loop = asyncio.get_running_loop()
        try:
            call = loop.run_in_executor(
                self._threads, self._blocking.call, method, request, timeout, traceparent
            )
        except RuntimeError as error:
            # The threads take no calls any more.
            raise SettingsError(f"The client was closed ({error}).") from None
        return await call

    async def close(self) -> None:
        """As `AsyncTransport.close`."""
        self._blocking.close()
        self._threads.shutdown(wait=False)
