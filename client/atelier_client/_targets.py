"""Where the servers are: one address or several replicas, and which of them gets the next request."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from atelier_client.errors import SettingsError

# The client skips a replica that it could not reach for so many seconds, unless there is no other.
REST_SECONDS = 1.0
_EXPECTED = (
    "Expected HOST:PORT, unix:/PATH, http://HOST:PORT or https://HOST:PORT; for the Open Inference Protocol "
    "v2+grpc://HOST:PORT, v2+unix:/PATH, v2+http://HOST:PORT or v2+https://HOST:PORT; several with commas between."
)
# Before an address whose server is asked by the Open Inference Protocol.
V2 = "v2+"
_HOST_PORT = re.compile(r"(?:dns:(?://[^/]*/)?)?(\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+):(\d{1,5})")


@dataclass(frozen=True)
class Target:
    """One server's address as given; `scheme` is grpc, unix, http or https.

    It is asked by the Open Inference Protocol (`v2`), or as TensorFlow Serving is.
    """

    address: str
    scheme: str
    v2: bool = False

    @property
    def endpoint(self) -> str:
        """The address to connect to: without the protocol's name."""
        return self.address.removeprefix(V2).removeprefix("grpc://") if self.v2 else self.address

    @property
    def rest(self) -> bool:
        """True for HTTP/1, False for gRPC."""
        return self.scheme in ("http", "https")

    @property
    def local(self) -> bool:
        """True when nothing sent there leaves this machine."""
        if self.scheme == "unix":
            return True
        host = re.sub(r"^(https?|dns):/*", "", self.endpoint).rpartition(":")[0].strip("[]")
        return host in ("localhost", "::1") or host.startswith("127.")


def parse_targets(given: str | Sequence[str]) -> tuple[Target, ...]:
    """The addresses of a string (commas between) or a sequence. Raises `SettingsError`.

    A host name with several addresses is one target: gRPC itself sends to all of them in turn.
    """
    listed = given.split(",") if isinstance(given, str) else given
    if not isinstance(listed, (list, tuple)) or not all(isinstance(item, str) for item in listed):
        raise SettingsError(f"The target is {given!r}. {_EXPECTED}")
    targets = tuple(_parse(item.strip()) for item in listed)
    if not targets:
        raise SettingsError(f"No target was given. {_EXPECTED}")
    if len({(target.rest, target.v2) for target in targets}) > 1:
        raise SettingsError(
            f"{given}: replicas must all speak gRPC, or all REST, and all of them the same protocol."
        )
    return targets


def _parse(text: str) -> Target:
    if text.startswith(V2):
        bare = text.removeprefix(V2)
        target = _plain(bare.removeprefix("grpc://"), text)
        # Without a scheme it is no address, and with grpc:// no other one.
        if bare.startswith("grpc://") != (target.scheme == "grpc"):
            raise SettingsError(f"target {text!r} is not an address. {_EXPECTED}")
        return Target(
            V2 + ("grpc://" if target.scheme == "grpc" else "") + target.address, target.scheme, True
        )
    return _plain(text, text)


def _plain(text: str, given: str) -> Target:
    """The target of an address without a protocol's name; `given` is for the message."""
    scheme, separator, rest = text.partition("://")
    if separator and scheme in ("http", "https"):
        host = rest.rstrip("/")
        if not host or "/" in host or "@" in host or not re.fullmatch(r"(\[[^\]]+\]|[^:\s]+)(:\d+)?", host):
            raise SettingsError(f"target {given!r} is not an address. {_EXPECTED}")
        return Target(f"{scheme}://{host}", scheme)
    if re.fullmatch(r"unix(-abstract)?:.+", text):
        return Target(text, "unix")
    match = _HOST_PORT.fullmatch(text)
    if not match or not 0 < int(match[2]) < 65536:
        raise SettingsError(f"target {given!r} is not an address. {_EXPECTED}")
    return Target(text, "grpc")


class Replicas:
    """Round robin over the targets; skips those that could not be reached a moment ago; thread-safe."""

    def __init__(self, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = count
        self._clock = clock
        self._turn = itertools.count()
        self._resting_until = [0.0] * count

    def pick(self, tried: Collection[int] = ()) -> int:
        """The next target that is not skipped and not in `tried`; else one that is not in `tried`; else the next."""
        if self.count == 1:
            return 0
        turn = next(self._turn)
        order = [(turn + step) % self.count for step in range(self.count)]
        fresh = [replica for replica in order if replica not in tried] or order
        now = self._clock()
        return next((replica for replica in fresh if self._resting_until[replica] <= now), fresh[0])

    def rest(self, replica: int) -> None:
        """Skip a replica for a while, because it could not be reached."""
        self._resting_until[replica] = self._clock() + REST_SECONDS
