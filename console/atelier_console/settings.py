"""What the command line and the environment say: where the server is, which folders, who may ask."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from atelier_client.errors import SettingsError

# TensorFlow Serving's usual ports.
GRPC_PORT, REST_PORT = 8500, 8501
_LEAST_TOKEN = 16


@dataclass(frozen=True)
class Settings:
    """`target` is the client's (gRPC or REST), `rest` the address of REST, http://HOST:PORT, or several with commas.

    `shown_target` and `shown_rest` are the same as whoever reads the page reaches them.
    `token` is None when everybody on this machine may ask; `server_token` is sent to the model server.
    `record` is the folder of a request log that the console keeps of its own requests; None keeps none.
    """

    host: str
    port: int
    target: str
    rest: str
    shown_target: str
    shown_rest: str
    model: str | None
    models: Path
    data: Path
    reports: Path
    runs: Path
    feedback: Path
    token: str | None
    server_token: str | None
    record: Path | None

    def __post_init__(self) -> None:
        """Raises `SettingsError` for what cannot work, or would let strangers in."""
        if not 0 <= self.port <= 65535:
            raise SettingsError(
                f"--port {self.port}: expected a port from 1 to 65535, or 0 for any free one."
            )
        if self.token is not None and (
            len(self.token) < _LEAST_TOKEN or not self.token.isascii() or not self.token.isprintable()
        ):
            raise SettingsError(
                f"The console's token has {len(self.token)} characters: expected {_LEAST_TOKEN} or more, of ASCII and "
                "printable. `openssl rand -hex 16` makes one."
            )
        if self.token is None and not is_loopback(self.host):
            raise SettingsError(
                f"--host {self.host} is no address of this machine alone, so that others could ask too: give a token "
                "(--token, or ATELIER_CONSOLE_TOKEN), or leave --host out."
            )

    @property
    def folders(self) -> Mapping[str, Path]:
        """The folders by what they hold."""
        return {
            "models": self.models,
            "data": self.data,
            "reports": self.reports,
            "runs": self.runs,
            "feedback": self.feedback,
        }


def is_loopback(host: str) -> bool:
    """True for the addresses and the name that only this machine reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def guess_rest(target: str) -> tuple[str, str | None]:
    """The REST address of a target, and the sentence that says how it was guessed; None when the target names it.

    TensorFlow Serving has gRPC on 8500 and REST on 8501: the next port is taken. Raises `SettingsError` where there
    is no port to go by.
    """
    first = target.split(",")[0].strip()
    if first.startswith(("http://", "https://")):
        return first.rstrip("/"), None
    try:
        parts = urlsplit(f"//{first}")
        port = parts.port or GRPC_PORT
        host = parts.hostname or ""
    except ValueError:
        host, port = "", 0
    if first.startswith("unix:") or not host:
        raise SettingsError(
            f"The REST address of {first} cannot be guessed: give it (--rest http://HOST:PORT), or a target HOST:PORT."
        )
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port + 1}"
    return address, (
        f"REST is looked for at {address}, the port after gRPC's as TensorFlow Serving has it "
        f"({GRPC_PORT}, {REST_PORT}); another one: --rest http://HOST:PORT."
    )
