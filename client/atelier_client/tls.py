"""TLS and mutual TLS: which authority the client trusts, and which certificate it shows to the server."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from atelier_client._arguments import is_text, shown
from atelier_client.errors import SettingsError


@dataclass(frozen=True)
class TLS:
    """PEM files: `ca` to trust instead of gRPC's own list; `cert` and `key` to show to the server (mutual TLS).

    `server_name` is the name that the server's certificate must have, when it is not the host's.
    """

    ca: Path | str | None = None
    cert: Path | str | None = None
    key: Path | str | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        for name in ("ca", "cert", "key"):
            path = getattr(self, name)
            if path is not None and not isinstance(path, (str, Path)):
                raise SettingsError(f"TLS takes a path for {name}, not {shown(path)}.")
        if self.server_name is not None and not is_text(self.server_name):
            raise SettingsError(f"TLS takes a host's name for server_name, not {shown(self.server_name)}.")
        if (self.cert is None) != (self.key is None):
            raise SettingsError(
                "A client certificate needs both files: cert and key (--cert FILE --key FILE)."
            )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """The settings for gRPC. Raises `SettingsError` for files that are missing or not PEM."""
        self.context()
        return grpc.ssl_channel_credentials(*(_read(path) for path in (self.ca, self.key, self.cert)))

    def context(self) -> ssl.SSLContext:
        """The settings for REST. Also checks the files, because gRPC accepts files that are not PEM and then fails."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (OSError, ValueError) as error:
            raise SettingsError(f"{self.ca} is no readable PEM file of certificates: {error}.") from None
        if self.cert is not None:
            try:
                context.load_cert_chain(self.cert, self.key)
            except (OSError, ValueError) as error:
                raise SettingsError(
                    f"{self.cert} and {self.key} are no certificate with its key: {error}."
                ) from None
        return context


def _read(path: Path | str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
