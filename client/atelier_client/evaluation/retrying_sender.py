"""Sends batches to a server that may die and restart. Each batch gets one response, in order, or sending ends.

Several requests are in flight. One that fails because the server is away, overloaded or still loading is sent again
until its response arrives; the time without any response is bounded. A batch counts when its response arrives, so none
counts twice, even if the server computed it several times.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from numpy.typing import NDArray

from atelier_client.client import Client
from atelier_client.errors import ClientError, ModelNotFound, NotReachable, Overloaded, TimedOut
from atelier_client.messages.requests import IN_FLIGHT
from atelier_client.responses import Prediction

# A server that comes back is noticed after this time at the latest.
_PAUSE_SECONDS = 0.25


class Sendable(Protocol):
    """An item to send: any object that has a model's inputs."""

    @property
    def inputs(self) -> Mapping[str, NDArray[Any]]: ...


Item = TypeVar("Item", bound=Sendable)


@dataclass(frozen=True)
class RequestOptions:
    """The settings that all requests of a pass share."""

    version: int
    signature: str
    outputs: tuple[str, ...]


class RetryingSender(Generic[Item]):
    """Sends batches once. `patience` is how many seconds may pass without any response."""

    def __init__(
        self, client: Client, options: RequestOptions, patience: float, notify: Callable[[str | None], None]
    ) -> None:
        """`notify` gets the reason for waiting, and None when the server responds again. Threads call it."""
        self._client = client
        self._options = options
        self._patience = patience
        self._notify = notify
        # The client has just read the signature from the server.
        self._last_response_at = time.monotonic()
        self._waiting = False
        self._stop = threading.Event()

    def predictions(self, items: Iterable[Item]) -> Iterator[tuple[Item, Prediction]]:
        """Each item with its response, in order. Raises a request's `ClientError` when the patience is over."""
        source: Iterator[Item] = iter(items)
        flights: deque[tuple[Item, Future[Prediction]]] = deque()
        pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="sender")
        try:
            more = True
            while more or flights:
                # Keep twice as many items ready, so that no thread waits until the next is read and checked.
                while more and len(flights) < 2 * IN_FLIGHT:
                    item = next(source, None)
                    more = item is not None
                    if item is not None:
                        flights.append((item, pool.submit(self._send, item.inputs)))
                if flights:
                    item, flight = flights[0]
                    prediction = flight.result()
                    flights.popleft()
                    yield item, prediction
        finally:
            self._stop.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _send(self, inputs: Mapping[str, NDArray[Any]]) -> Prediction:
        while True:
            try:
                prediction = self._client.predict(
                    inputs,
                    signature=self._options.signature,
                    outputs=self._options.outputs,
                    version=self._options.version,
                )
            except (NotReachable, TimedOut, Overloaded, ModelNotFound) as error:
                self._wait_or_raise(error)
            else:
                self._last_response_at = time.monotonic()
                if self._waiting:
                    self._waiting = False
                    self._notify(None)
                return prediction

    def _wait_or_raise(self, error: ClientError) -> None:
        """Wait a moment; raise when the patience is over. A restarted server first reports that it has no model."""
        if self._stop.is_set() or time.monotonic() - self._last_response_at > self._patience:
            raise error
        if not self._waiting:
            self._waiting = True
            self._notify(str(error))
        self._stop.wait(_PAUSE_SECONDS)
