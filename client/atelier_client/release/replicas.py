"""The servers that serve a repository, each asked by itself: a release is only as far as the last of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from atelier_client._model_card import Golden
from atelier_client.client import Client
from atelier_client.errors import (
    ClientError,
    InvalidRequest,
    ModelNotFound,
    NotReachable,
    NotSupported,
    ServerError,
    TimedOut,
)
from atelier_client.evaluation import skew
from atelier_client.protos import serving_pb2 as pb
from atelier_client.responses import State, describe

_PAUSE = 0.05
# The servers look at models.config every two seconds by default; a server that is busy takes longer.
_FOLLOW_SECONDS = 30.0
# After so long it is said what is waited for.
_SILENT_SECONDS = 3.0


class Failed(ClientError):
    """A version that does not work on a server. The release of it ends."""


class Replicas:
    """The clients of each server: one that gives up soon, for states and configurations, and one for predictions."""

    def __init__(
        self, clients: Sequence[Client], patient: Sequence[Client], say: Callable[[str], None]
    ) -> None:
        self._clients = clients
        self._patient = patient
        self._say = say

    @property
    def count(self) -> int:
        """The number of servers."""
        return len(self._clients)

    def tell(self, config: pb.ModelServerConfig) -> None:
        """Send the configuration to every server. One that does not take it reads models.config by itself."""
        for client in self._clients:
            try:
                client.reload(config.SerializeToString())
            except ServerError:
                # Not reachable, not allowed, not supported (REST): whether it follows shows in what it answers.
                continue

    def available(self) -> list[int]:
        """The versions that answer on every server, ascending. Raises `ServerError`."""
        common: set[int] | None = None
        for client in self._clients:
            try:
                found = {entry.version for entry in client.status() if entry.state == State.AVAILABLE}
            except ModelNotFound:
                found = set()
            common = found if common is None else common & found
        return sorted(common or ())

    def wait_any(self, seconds: float) -> list[int]:
        """Wait until some version answers on every server; return those that do. Raises `TimedOut`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if found := self.available():
                    return found
                reason = "no version answers on all of them"
            except (NotReachable, TimedOut) as error:
                reason = str(error)
            if time.monotonic() > deadline:
                raise TimedOut(f"No version was ready within {seconds:g} s. Last seen: {reason}")
            time.sleep(_PAUSE)

    def loaded(self) -> set[int]:
        """The versions that some server has not unloaded. Raises `ServerError`."""
        found: set[int] = set()
        for client in self._clients:
            with contextlib.suppress(ModelNotFound):
                found |= {entry.version for entry in client.status() if entry.state != State.END}
        return found

    def wait_available(
        self, version: int, seconds: float, check: Callable[[], None], *, silent: bool = False
    ) -> None:
        """Wait until the version answers everywhere. Raises `Failed` when it cannot be loaded, and `TimedOut`.

        `check` is called while waiting; what it raises ends the wait. With `silent` a server that does not answer is
        passed over.
        """
        began = time.monotonic()
        for client in self._clients:
            reason = short = ""
            told = False
            while True:
                check()
                try:
                    entries = client.status()
                    mine = next((entry for entry in entries if entry.version == version), None)
                    if mine and mine.state == State.AVAILABLE:
                        break
                    if mine and mine.state == State.END and mine.error:
                        raise Failed(f"{client.target} could not load version {version}: {mine.error}")
                    reason = short = describe(entries)
                except (NotReachable, TimedOut, ModelNotFound) as error:
                    if silent and not isinstance(error, ModelNotFound):
                        break
                    # The usual causes are told when the wait was for nothing: mostly the server is just starting.
                    reason, short = str(error), "it does not answer yet"
                waited = time.monotonic() - began
                if waited > _SILENT_SECONDS and not told:
                    self._say(f"Waiting up to {seconds:g} s for {client.target}: {short}")
                    told = True
                if waited > seconds:
                    raise TimedOut(
                        f"Version {version} was not ready at {client.target} within {seconds:g} s. Last seen: {reason}"
                    )
                time.sleep(_PAUSE)

    def check_golden(self, version: int, golden: Golden | None) -> None:
        """Raises `Failed` when a server answers the version's golden examples wrongly."""
        for client in self._patient:
            if wrong := skew.verdict(skew.measure(client, version, golden)):
                raise Failed(f"{client.target}: {wrong}")

    def wait_label(self, label: str, version: int, check: Callable[[], None] = lambda: None) -> list[str]:
        """Wait until the label names the version on every server that answers; return those that do not answer.

        `check` is as in `wait_available`. Raises `TimedOut` for a server that answers and does not follow.
        """
        silent = []
        deadline = time.monotonic() + _FOLLOW_SECONDS
        for client in self._clients:
            while True:
                try:
                    named: int | None = client.version_of(label)
                except InvalidRequest as error:
                    if isinstance(error, NotSupported):
                        raise
                    named = None
                except (NotReachable, TimedOut):
                    silent.append(client.target)
                    break
                except ModelNotFound:
                    named = None
                if named == version:
                    break
                check()
                if time.monotonic() > deadline:
                    names = "no version" if named is None else f"version {named}"
                    raise TimedOut(
                        f"{client.target} does not follow models.config: after {_FOLLOW_SECONDS:g} s its label {label} "
                        f"names {names}, not version {version}. It must be started with --model_config_file and "
                        "--model_config_file_poll_wait_seconds, or allow HandleReloadConfigRequest."
                    )
                time.sleep(_PAUSE)
        return silent
