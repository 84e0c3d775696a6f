"""The router of the client for asyncio, and the tasks of its mirror."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from atelier_client._core import Inputs
from atelier_client.async_client import AsyncClient
from atelier_client.errors import SettingsError
from atelier_client.responses import Prediction
from atelier_client.routing.core import GivenWeights, RouterCore
from atelier_client.routing.mirror import CLOSE_SECONDS, IN_FLIGHT, ONCE, TIMEOUT, Copy, Mirror
from atelier_client.routing.mirror_report import report_of, write
from atelier_client.routing.statistics import LabelStatistics
from atelier_client.routing.weights import Key


class AsyncRouter:
    """As `Router`, for an `AsyncClient`: `async with AsyncRouter(client, weights) as router`, calls awaited."""

    def __init__(
        self,
        client: AsyncClient,
        weights: GivenWeights | None = None,
        *,
        fallback: str = "stable",
        mirror: str | None = None,
        seed: int | None = None,
    ) -> None:
        self._client = client
        self._core = RouterCore(client.model, weights, fallback, seed)
        self._mirror = None if mirror is None else Mirror(mirror, fallback)
        self._sender = None if self._mirror is None else _Tasks(client, self._mirror)
        self._closed = False

    async def __aenter__(self) -> AsyncRouter:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def weights(self) -> dict[str, float]:
        """As `Router.weights`."""
        return dict(self._core.weights.values)

    @weights.setter
    def weights(self, weights: Mapping[str, float]) -> None:
        self._core.set_weights(weights)

    async def predict(
        self,
        inputs: Inputs,
        *,
        key: Key | None = None,
        signature: str = "serving_default",
        outputs: Sequence[str] = (),
        rows_per_request: int | None = None,
    ) -> Prediction:
        """As `Router.predict`."""
        if self._closed:
            raise SettingsError("The router is closed. Ask within its `async with` block, or make another.")

        def ask(label: str) -> Any:
            return self._client._core.predict(inputs, signature, outputs, None, label, rows_per_request)

        label, prediction = await self._client._run(self._core.predict(ask, key))
        if self._sender and label == self._core.fallback:
            self._sender.offer(inputs, signature, outputs, rows_per_request, prediction)
        return prediction

    def statistics(self) -> dict[str, LabelStatistics]:
        """As `Router.statistics`."""
        return self._core.statistics.read()

    def report(self) -> dict[str, Any]:
        """As `Router.report`."""
        return report_of(self._client, self._mirror)

    async def write_report(self, folder: Path | str) -> None:
        """As `Router.write_report`."""
        await asyncio.to_thread(write, self._client, self._mirror, Path(folder))

    async def close(self) -> None:
        """As `Router.close`."""
        closed, self._closed = self._closed, True
        if self._sender and not closed:
            await self._sender.close()


class _Tasks:
    """Sends the copies of a mirror, on the loop of the first one."""

    def __init__(self, client: AsyncClient, mirror: Mirror) -> None:
        self._mirror = mirror
        self._client = client._again(timeout=min(client.timeout, TIMEOUT), retry=ONCE)
        self._copies: asyncio.Queue[Copy | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    def offer(self, *request: Any) -> None:
        """Send a copy when there is room for it."""
        copy = self._mirror.take(*request)
        if copy is not None:
            if not self._tasks:
                self._tasks = [asyncio.create_task(self._run()) for _ in range(IN_FLIGHT)]
            self._copies.put_nowait(copy)

    async def close(self) -> None:
        """Send what is held within a bounded time."""
        self._mirror.close()
        for _ in self._tasks:
            self._copies.put_nowait(None)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
        self._mirror.give_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    async def _run(self) -> None:
        while (copy := await self._copies.get()) is not None:
            try:
                answer = await self._client.predict(copy.inputs, **copy.settings)
                # Comparing large answers would hold up the loop.
                await asyncio.to_thread(self._mirror.compare, copy, answer)
            except Exception as error:
                # Whatever a second version does is counted, and ends no task.
                self._mirror.fail(error)
            finally:
                self._mirror.release(copy.size)
