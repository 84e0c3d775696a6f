"""What the two routers share: which label a request goes to, and which one answers when that label cannot."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from atelier_client._routine import Routine
from atelier_client.errors import ModelNotFound, NotReachable, ServerError, SettingsError, TimedOut
from atelier_client.responses import Prediction
from atelier_client.routing.statistics import Statistics
from atelier_client.routing.weights import Key, Weights
from atelier_client.routing.weights_file import WeightsFile

# server_core.cc of TensorFlow Serving, in an INVALID_ARGUMENT.
_NO_LABEL = "Unrecognized servable version label"

GivenWeights = Mapping[str, float] | str | os.PathLike[str]


class RouterCore:
    """Decides, and counts. Like the client's core it does no input or output but to look at the file of weights."""

    def __init__(
        self,
        model: str,
        weights: GivenWeights | None,
        fallback: str,
        seed: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not isinstance(fallback, str) or not fallback:
            raise SettingsError(f"fallback is the name of a label, not {fallback!r}.")
        self.fallback = fallback
        self.statistics = Statistics()
        self._model = model
        self._random = random.Random(seed)
        self._file: WeightsFile | None = None
        self._weights = Weights({fallback: 1})
        if isinstance(weights, (str, os.PathLike)):
            self._file = WeightsFile(Path(weights), model, fallback, clock)
        elif weights is not None:
            self._weights = Weights(weights)

    @property
    def weights(self) -> Weights:
        """Those that hold now."""
        return self._file.current() if self._file else self._weights

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Let others hold from now on. Raises `SettingsError`, also when a file is followed."""
        if self._file:
            raise SettingsError(f"This router follows {self._file.path}: change the weights there.")
        self._weights = Weights(weights)

    def predict(
        self, ask: Callable[[str], Routine[Prediction]], key: Key | None
    ) -> Routine[tuple[str, Prediction]]:
        """The label that answered, and its answer. `ask` makes the request to a label."""
        weights = self.weights
        label = weights.at(self._random.random()) if key is None else weights.of_key(self._model, key)
        if label != self.fallback:
            try:
                return label, (yield from self._counted(ask, label, False))
            except ServerError as error:
                # When the server does not answer or the time is up, another label would not help. Anything else is not
                # the caller's concern, unless the fallback refuses the request too.
                if isinstance(error, (NotReachable, TimedOut)):
                    raise
        return self.fallback, (yield from self._counted(ask, self.fallback, label != self.fallback))

    def _counted(
        self, ask: Callable[[str], Routine[Prediction]], label: str, fallback: bool
    ) -> Routine[Prediction]:
        try:
            prediction = yield from ask(label)
        except ServerError as error:
            missing = isinstance(error, ModelNotFound) or _NO_LABEL in error.details
            self.statistics.failed(label, missing, fallback)
            raise
        self.statistics.answered(label, prediction, fallback)
        return prediction
