"""The router of the blocking client, and the threads of its mirror."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from atelier_client._core import Inputs
from atelier_client.client import Client
from atelier_client.errors import SettingsError
from atelier_client.responses import Prediction
from atelier_client.routing.core import GivenWeights, RouterCore
from atelier_client.routing.mirror import CLOSE_SECONDS, IN_FLIGHT, ONCE, TIMEOUT, Copy, Mirror
from atelier_client.routing.mirror_report import report_of, write
from atelier_client.routing.statistics import LabelStatistics
from atelier_client.routing.weights import Key


class Router:
    """Sends the requests of a client to the versions of several labels; thread-safe; close it, or use it in `with`.

        with Client("127.0.0.1:8500", "shoes") as client:
            with Router(client, weights={"stable": 90, "canary": 10}) as router:
                router.predict(images, key="user-42")["label"]

    `weights` are labels and the share that each gets, in any unit; or the path of a JSON file of them by model,
    `{"shoes": {"stable": 99, "canary": 1}}`, which is followed: looked at no more than once a second; without the file,
    or the model in it, everything goes to `fallback`; a damaged one leaves the weights as they were, and is logged.
    Without `weights` everything goes to `fallback`. `seed` makes the choice for requests without a key repeatable.

    `fallback` answers for a label that is not served (any more), or that fails; this is counted. What `fallback` itself
    fails with is the caller's error, and so are `TimedOut`, `NotReachable` and `InputError` of any label.

    `mirror` is a label that gets a copy of every request that `fallback` has answered. Copies are sent in the
    background, by connections of their own, four at a time, each once and for 10 s at most. At most 100 are held, or
    64 MB of them; others are dropped, which is counted. The caller waits for nothing but the copy of its arrays.

    The client stays the caller's to close. Raises `SettingsError` for weights and labels that cannot be.
    """

    def __init__(
        self,
        client: Client,
        weights: GivenWeights | None = None,
        *,
        fallback: str = "stable",
        mirror: str | None = None,
        seed: int | None = None,
    ) -> None:
        self._client = client
        self._core = RouterCore(client.model, weights, fallback, seed)
        self._mirror = None if mirror is None else Mirror(mirror, fallback)
        self._sender = None if self._mirror is None else _Threads(client, self._mirror)
        self._closed = False

    def __enter__(self) -> Router:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def weights(self) -> dict[str, float]:
        """The weights that hold now. Assign others to change them, from any thread; those of a file change there."""
        return dict(self._core.weights.values)

    @weights.setter
    def weights(self, weights: Mapping[str, float]) -> None:
        self._core.set_weights(weights)

    def predict(
        self,
        inputs: Inputs,
        *,
        key: Key | None = None,
        signature: str = "serving_default",
        outputs: Sequence[str] = (),
        rows_per_request: int | None = None,
    ) -> Prediction:
        """As `Client.predict`, answered by the version of one of the labels.

        Requests with the same `key` (text, bytes or a whole number; 42 and "42" are the same) go to the same label in
        every process, as long as the weights are the same; raising a label's weight moves keys to that label only.
        Requests without a key go to a label at random.
        """
        if self._closed:
            raise SettingsError("The router is closed. Ask within its `with` block, or make another one.")

        def ask(label: str) -> Any:
            return self._client._core.predict(inputs, signature, outputs, None, label, rows_per_request)

        label, prediction = self._client._run(self._core.predict(ask, key))
        if self._sender and label == self._core.fallback:
            self._sender.offer(inputs, signature, outputs, rows_per_request, prediction)
        return prediction

    def statistics(self) -> dict[str, LabelStatistics]:
        """What was asked of each label so far, and how long its versions took. Copies of a mirror do not count."""
        return self._core.statistics.read()

    def report(self) -> dict[str, Any]:
        """What the mirror has seen so far, as plain data (docs/client.md). Raises `SettingsError` without a mirror."""
        return report_of(self._client, self._mirror)

    def write_report(self, folder: Path | str) -> None:
        """Write `report()` as mirror.json and mirror.html into a folder. Raises `SettingsError` and `OSError`."""
        write(self._client, self._mirror, Path(folder))

    def close(self) -> None:
        """Wait for the copies under way, 5 s at most; `report` goes on to work. The client stays open."""
        closed, self._closed = self._closed, True
        if self._sender and not closed:
            self._sender.close()


class _Threads:
    """Sends the copies of a mirror. Threads wait on a queue of their own; the caller only puts something in."""

    def __init__(self, client: Client, mirror: Mirror) -> None:
        self._mirror = mirror
        self._client = client._again(timeout=min(client.timeout, TIMEOUT), retry=ONCE)
        self._copies: queue.SimpleQueue[Copy | None] = queue.SimpleQueue()
        # They do not keep the process alive.
        self._threads = [
            threading.Thread(target=self._run, name="mirror", daemon=True) for _ in range(IN_FLIGHT)
        ]
        for thread in self._threads:
            thread.start()

    def offer(self, *request: Any) -> None:
        """Send a copy when there is room for it."""
        copy = self._mirror.take(*request)
        if copy is not None:
            self._copies.put(copy)

    def close(self) -> None:
        """Send what is held within a bounded time."""
        self._mirror.close()
        deadline = time.monotonic() + CLOSE_SECONDS
        for _ in self._threads:
            self._copies.put(None)
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
        self._mirror.give_up()
        self._client.close()

    def _run(self) -> None:
        while (copy := self._copies.get()) is not None and not self._mirror.given_up:
            try:
                self._mirror.compare(copy, self._client.predict(copy.inputs, **copy.settings))
            except Exception as error:
                # Whatever a second version does is counted, and ends no thread.
                self._mirror.fail(error)
            finally:
                self._mirror.release(copy.size)
