"""What the core needs of a protocol: how a question is asked, and how its answer is read."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from atelier_client._routine import Routine
from atelier_client.messages.requests import Frame
from atelier_client.responses import VersionStatus
from atelier_client.signature import Signature
from atelier_client.transports.base import Method

# Sends a serialized request of a method; the value of the routine is the response. Raises `ServerError`.
Send = Callable[[Method, bytes], Routine[Any]]


class Protocol(typing.Protocol):
    """One protocol. It has no state."""

    @property
    def predict(self) -> Method:
        """The method of a predict request."""

    @property
    def idle(self) -> Method:
        """A method that runs no model."""

    @property
    def any_version(self) -> int | None:
        """The number that leaves the choice of the version to the server; None when each names one."""

    def frame(
        self, model: str, signature: str, version: int | None, label: str | None, outputs: tuple[str, ...]
    ) -> Frame:
        """The frame of predict requests. Raises `InputError` for a version and a label."""

    def idle_request(self, model: str) -> bytes:
        """A request of `idle`."""

    def read(self, response: Any) -> tuple[dict[str, NDArray[Any]], int]:
        """The outputs of a response, and the version that gave them: 0 when it is not told. Raises `ServerFailure`."""

    def check(self, method: Method, target: str) -> None:
        """Raises `NotSupported` for a method that the protocol does not have."""

    def metadata(
        self, send: Send, model: str, version: int | None, label: str | None
    ) -> Routine[tuple[dict[str, Signature], int]]:
        """The signatures, and the version that has them: 0 when it is not told."""

    def choose(self, served: Mapping[str, Signature], name: str) -> Signature:
        """The signature with that name. Raises `InputError`."""

    def version_of(self, send: Send, model: str, label: str) -> Routine[int]:
        """The version that a label names. Raises `InvalidRequest`."""

    def status(self, send: Send, model: str) -> Routine[list[VersionStatus]]:
        """The versions and their states, highest first."""
