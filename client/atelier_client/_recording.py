"""Offers a client's requests, with their answers, to its recorder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from atelier_client._targets import Target
from atelier_client.transports.base import Method
from atelier_client.transports.sender import Keep

if TYPE_CHECKING:
    # A client without a recorder needs none of it.
    from atelier_client.request_log.recorder import Recorder


class Recording:
    """What a recorder is told of a client: its model, and how each replica is asked."""

    def __init__(self, recorder: Recorder | None, model: str, targets: Sequence[Target]) -> None:
        self.recorder = recorder
        self._model = model
        self._transports = ["rest" if target.rest else "grpc" for target in targets]
        self._v2 = targets[0].v2

    def keeper(self, method: Method, trace: str | None) -> Keep | None:
        """What keeps the next request; None when it does not fall into the recorder's sample."""
        if self.recorder is None or not self.recorder.draws():
            return None
        return partial(self._keep, method, trace)

    def _keep(
        self, method: Method, trace: str | None, request: bytes, response: Any, replica: int, seconds: float
    ) -> None:
        from atelier_client.request_log.record import Exchange

        assert self.recorder is not None
        self.recorder.offer(
            Exchange(
                method.name,
                self._model,
                request,
                response,
                time.time() - seconds,
                seconds,
                self._transports[replica],
                trace,
                self._v2,
            )
        )
