"""The client for asyncio: the same calls, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from atelier_client._core import DEFAULT_TIMEOUT, Core, Inputs
from atelier_client._routine import Call, Gather, Pause, Routine
from atelier_client._targets import Target, parse_targets
from atelier_client._trace_context import TraceParent
from atelier_client.client import checked_tls, rest_transport
from atelier_client.errors import ServerError, SettingsError
from atelier_client.messages.tf_example import FeatureRows
from atelier_client.model_config import ServedModel
from atelier_client.responses import Prediction, VersionStatus
from atelier_client.retry import Retry
from atelier_client.signature import Signature
from atelier_client.tls import TLS
from atelier_client.transports.base import AsyncTransport
from atelier_client.transports.grpc import AsyncGrpcTransport, Token

if TYPE_CHECKING:
    from atelier_client.request_log.recorder import Recorder

T = TypeVar("T")


class AsyncClient:
    """As `Client`, for one event loop: `async with AsyncClient(target, model) as client: await client.predict(x)`."""

    def __init__(
        self,
        target: str | Sequence[str],
        model: str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        retry: Retry | None = None,
        tls: TLS | bool = False,
        token: Token | None = None,
        proxy: bool = False,
        recorder: Recorder | None = None,
        traceparent: TraceParent | None = None,
        connect: Callable[[Target], AsyncTransport] | None = None,
    ) -> None:
        targets = parse_targets(target)
        self._core = Core(targets, model, timeout, Retry() if retry is None else retry, recorder, traceparent)
        self.target = self._core.target
        self.model = model
        self.timeout = timeout
        make = connect or (lambda item: make_async_transport(item, tls, token, proxy))
        self._transports = [make(item) for item in targets]
        # Another client of the same servers, with connections of its own.
        self._again = partial(AsyncClient, target, model, tls=tls, token=token, proxy=proxy, connect=connect)
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; calls under way end. Waits until a recorder has written what waits, at most 5 s."""
        self._closed = True
        for transport in self._transports:
            await transport.close()
        if self._core.recorder is not None:
            await asyncio.to_thread(self._core.recorder.flush)

    async def predict(
        self,
        inputs: Inputs,
        *,
        signature: str = "serving_default",
        outputs: Sequence[str] = (),
        version: int | None = None,
        label: str | None = None,
        rows_per_request: int | None = None,
    ) -> Prediction:
        """As `Client.predict`."""
        return await self._run(
            self._core.predict(inputs, signature, outputs, version, label, rows_per_request)
        )

    async def classify(
        self,
        rows: FeatureRows,
        *,
        signature: str | None = None,
        version: int | None = None,
        label: str | None = None,
        rows_per_request: int | None = None,
    ) -> Prediction:
        """As `Client.classify`."""
        return await self._run(self._core.classify(rows, signature, version, label, rows_per_request))

    async def regress(
        self,
        rows: FeatureRows,
        *,
        signature: str | None = None,
        version: int | None = None,
        label: str | None = None,
        rows_per_request: int | None = None,
    ) -> Prediction:
        """As `Client.regress`."""
        return await self._run(self._core.regress(rows, signature, version, label, rows_per_request))

    async def metadata(self, *, version: int | None = None, label: str | None = None) -> dict[str, Signature]:
        """As `Client.metadata`."""
        return await self._run(self._core.metadata(version, label))

    async def status(self) -> list[VersionStatus]:
        """As `Client.status`."""
        return await self._run(self._core.status())

    async def newest_available(self) -> int:
        """As `Client.newest_available`."""
        return await self._run(self._core.newest_available())

    async def version_of(self, label: str) -> int:
        """As `Client.version_of`."""
        return await self._run(self._core.version_of(label))

    async def wait_ready(self, seconds: float, version: int | None = None) -> int:
        """As `Client.wait_ready`."""
        return await self._run(self._core.wait_ready(seconds, version))

    async def reload(self, config: Sequence[ServedModel] | bytes) -> None:
        """As `Client.reload`."""
        await self._run(self._core.reload(config))

    async def _run(self, routine: Routine[T]) -> T:
        """Carry out a routine's steps, one after the other."""
        if self._closed:
            raise SettingsError(
                "The client is closed. Ask within its `async with` block, or open another one."
            )
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            raise SettingsError(
                "An AsyncClient belongs to the event loop that it was first used in, and another one runs now. Open a "
                "client in each (asyncio.run starts a new loop each time)."
            )
        try:
            step = next(routine)
            while True:
                try:
                    value: Any
                    if isinstance(step, Call):
                        transport = self._transports[step.replica]
                        value = await transport.call(*step.arguments())
                    elif isinstance(step, Pause):
                        await asyncio.sleep(step.seconds)
                        value = None
                    else:
                        value = await self._gather(step)
                except ServerError as error:
                    step = routine.throw(error)
                else:
                    step = routine.send(value)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _gather(self, step: Gather) -> list[Any]:
        """Run the routines side by side; the first error, or being cancelled, ends them all."""
        window = asyncio.Semaphore(step.limit)

        async def run(routine: Routine[Any]) -> Any:
            async with window:
                return await self._run(routine)

        tasks = [asyncio.ensure_future(run(routine)) for routine in step.routines]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            # A routine that never started is closed together with its task; the others must finish their cancellation.
            await asyncio.gather(*tasks, return_exceptions=True)


def make_async_transport(target: Target, tls: TLS | bool, token: Token | None, proxy: bool) -> AsyncTransport:
    """The transport to a target; the settings are those of `AsyncClient`."""
    settings = checked_tls(target, tls, token, proxy)
    if target.rest:
        from atelier_client.transports.in_threads import InThreads

        return InThreads(rest_transport(target, settings, token, proxy))
    return AsyncGrpcTransport(target, settings, token, proxy)
