"""TLS and mutual TLS from `--ssl_config_file`, for gRPC and REST.

The file is TensorFlow Serving's SSLConfig (config/ssl_config.proto at 2.20.0): `server_key`, `server_cert` and
`custom_ca` hold PEM text, not paths; `client_verify: true` asks clients for a certificate signed by `custom_ca`.
"""

from __future__ import annotations

import logging
import ssl
import tempfile
from pathlib import Path
from typing import Any

import grpc

from atelier_serving.status import ServingError, invalid
from atelier_serving.text_protos import read_text_proto

_log = logging.getLogger(__name__)


class _LatestContext(ssl.SSLContext):
    """Gives each new connection to the context of the latest file.

    A context that has been used cannot forget an authority that it once trusted, so a renewed file has one of its own.
    """

    latest: ssl.SSLContext

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """What asyncio calls for each connection."""
        return self.latest.wrap_bio(*arguments, **named)


class Tls:
    """The TLS settings of both transports. New connections use a renewed file; open ones do not change."""

    def __init__(self, path: Path) -> None:
        """Read and check the file. Raises `ServingError` that names the wrong field."""
        self._path = path
        self._seen = _state(path)
        settings = _settings(path)
        self._verifies = settings.client_verify
        self.context = _LatestContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.latest = _context(path, settings)
        self._certificates = _certificates(settings)
        self.credentials = grpc.dynamic_ssl_server_credentials(
            self._certificates,
            lambda: self._certificates,
            require_client_authentication=settings.client_verify,
        )

    def refresh(self) -> None:
        """Read the file again if it has changed. A wrong file is reported in the log, and the old settings stay."""
        seen = _state(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            settings = _settings(self._path)
            if settings.client_verify != self._verifies:
                # gRPC decides this when it opens its port.
                raise invalid(f"{self._path}: client_verify cannot change without a restart.")
            context = _context(self._path, settings)
        except ServingError as error:
            _log.warning(f"The certificate is not renewed: {error.message}")
            return
        self.context.latest = context
        self._certificates = _certificates(settings)
        _log.warning(f"The certificate of {self._path} is renewed.")


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _settings(path: Path) -> Any:
    settings = read_text_proto(path, "SSLConfig")
    if not (settings.server_key and settings.server_cert):
        raise invalid(f"{path}: server_key and server_cert must both hold PEM text.")
    if settings.client_verify and not settings.custom_ca:
        raise invalid(
            f"{path}: client_verify needs custom_ca, the PEM text of who signs clients' certificates."
        )
    return settings


def _certificates(settings: Any) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(settings.server_key.encode(), settings.server_cert.encode())],
        root_certificates=settings.custom_ca.encode() or None,
    )


def _context(path: Path, settings: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if settings.client_verify:
        context.verify_mode = ssl.CERT_REQUIRED
    # Python reads a key only from a file. Only this user can read these files, and they are deleted at once.
    with tempfile.TemporaryDirectory(prefix="atelier-tls-") as folder:
        files = {name: Path(folder, name) for name in ("server_cert", "server_key")}
        for name, file in files.items():
            file.write_text(getattr(settings, name))
        try:
            context.load_cert_chain(files["server_cert"], files["server_key"])
        except (ssl.SSLError, OSError) as error:
            raise invalid(f"{path}: server_cert and server_key are no matching PEM pair ({error}).") from None
    if settings.custom_ca:
        try:
            context.load_verify_locations(cadata=settings.custom_ca)
        except (ssl.SSLError, ValueError) as error:
            raise invalid(f"{path}: custom_ca is no PEM certificate ({error}).") from None
    return context
