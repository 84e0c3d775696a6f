"""Methods of services, the same for both fronts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from atelier_serving.inference.predict import Task
from atelier_serving.models.servable import Servable


class Call(Protocol):
    """A call, as its front knows it."""

    @property
    def deadline(self) -> float | None:
        """When its client stops waiting (time.monotonic()); None without a deadline."""

    def is_active(self) -> bool:
        """Whether its client still waits."""

    def peer(self) -> str:
        """The address of its client."""

    def headers(self) -> Iterable[tuple[str | bytes, str | bytes]]:
        """Names and values of its metadata."""

    def keep(self, reservation: object) -> None:
        """Keep this object until the call has ended."""


class Joinable(Protocol):
    """What a method does whose small calls may run together: its steps one by one. They raise `ServingError`."""

    def model_key(self, message: Any) -> Hashable:
        """Requests of equal keys ask for the same servable."""

    def servable(self, message: Any) -> AbstractContextManager[tuple[Servable, int]]:
        """The servable that a request asks for, kept loaded in the `with` block, and its version."""

    def task(self, message: Any, servable: Servable) -> Task:
        """What a request has to run."""

    def predicted(self, message: Any, version: int, task: Task, outputs: Mapping[str, np.ndarray]) -> Any:
        """The response."""


@dataclass(frozen=True)
class Method:
    """A method of a service: its function, and the types of its request and response protos.

    `joinable` is None for a method whose calls run alone. With `keeps` the function gives its exchange to the
    context's `keep`, where one is there; otherwise the request log takes the two messages.
    """

    name: str
    call: Callable[[Any, Call], Any]
    request: Any
    response: Any
    joinable: Joinable | None = None
    keeps: bool = False


# The methods of each service by name.
Services = Mapping[str, Mapping[str, Method]]


def plain(call: Callable[[Any], Any]) -> Callable[[Any, Call], Any]:
    """A method's function that needs to know nothing of the call."""
    return lambda request, _: call(request)
