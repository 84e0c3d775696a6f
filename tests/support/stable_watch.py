"""Asks for the label `stable` all the time, over gRPC and REST, and notes what failed and what was answered wrongly."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from atelier_client import Client, Retry
from atelier_client.errors import InvalidRequest
from numpy.typing import NDArray

from tests.support.releases import Releases


class StableWatch:
    """The callers. `wrong` has a sentence for each request that failed or was answered with what no version says."""

    def __init__(self, repo: Releases, *, pause: float, first: bool = False) -> None:
        self.wrong: list[str] = []
        self.answered: Counter[str] = Counter()
        self._repo = repo
        self._pause = pause
        # Before the first release there may be no such label yet; once there was one, it stays.
        self._unnamed = threading.Event()
        if first:
            self._unnamed.set()
        self._stop = threading.Event()
        self._images = repo.images
        self._body = json.dumps({"instances": self._images.tolist()})

    @contextlib.contextmanager
    def asking(self, callers: int = 1) -> Iterator[StableWatch]:
        """Ask until the block ends, with so many callers over either protocol."""
        work = [self._ask_grpc, self._ask_rest] * callers
        threads = [threading.Thread(target=target) for target in work]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _ask_grpc(self) -> None:
        with Client(self._repo.server.grpc, "fashion", retry=Retry(attempts=1)) as client:
            self._repeat("grpc", lambda: self._grpc(client))

    def _grpc(self, client: Client) -> str | None:
        try:
            answer = client.predict(self._images, label="stable")
        except InvalidRequest:
            if self._unnamed.is_set():
                return None
            raise
        [version] = answer.versions
        if _same(answer["probabilities"], self._repo.answers[version]):
            return f"grpc {version}"
        raise AssertionError(f"this is not what version {version} says: {answer['probabilities']}")

    def _ask_rest(self) -> None:
        connection = http.client.HTTPConnection(self._repo.server.rest.removeprefix("http://"), timeout=20)
        with contextlib.closing(connection):
            self._repeat("rest", lambda: self._rest(connection))

    def _rest(self, connection: http.client.HTTPConnection) -> str | None:
        connection.request("POST", "/v1/models/fashion/labels/stable:predict", self._body)
        with connection.getresponse() as answer:
            text = answer.read().decode()
        if answer.status == 400 and self._unnamed.is_set():
            return None
        assert answer.status == 200, f"{answer.status}: {text[:200]}"
        rows = np.array([row["probabilities"] for row in json.loads(text)["predictions"]])
        for version, known in self._repo.answers.items():
            if _same(rows, known):
                return f"rest {version}"
        raise AssertionError(f"this is what no version says: {rows}")

    def _repeat(self, name: str, once: Callable[[], Any]) -> None:
        while not self._stop.is_set():
            try:
                if came := once():
                    self.answered[came] += 1
                    self._unnamed.clear()
            except Exception as error:
                self.wrong.append(f"{name}: {error!r}"[:400])
            time.sleep(self._pause)


def _same(answer: NDArray[Any], known: NDArray[Any]) -> bool:
    """Whether an answer is what the version says; those of other versions are far from it."""
    return answer.shape == known.shape and np.allclose(answer, known, rtol=1e-3, atol=1e-5)
