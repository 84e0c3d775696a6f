"""TLS and mutual TLS from `--ssl_config_file`, for gRPC and REST alike.

The file is TensorFlow Serving's SSLConfig (config/ssl_config.proto at 2.20.0): `server_key`, `server_cert` and
`custom_ca` hold PEM text, not paths; `client_verify: true` asks clients for a certificate signed by `custom_ca`.
"""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

import grpc

from atelier_serving.status import invalid
from atelier_serving.text_protos import read_text_proto


@dataclass(frozen=True)
class Tls:
    """What each transport needs."""

    credentials: grpc.ServerCredentials
    context: ssl.SSLContext


def read_tls(path: Path) -> Tls:
    """Read and check the file. Raises `ServingError` saying which field is wrong."""
    settings = read_text_proto(path, "SSLConfig")
    if not (settings.server_key and settings.server_cert):
        raise invalid(f"{path}: server_key and server_cert must both hold PEM text.")
    if settings.client_verify and not settings.custom_ca:
        raise invalid(
            f"{path}: client_verify needs custom_ca, the PEM text of who signs clients' certificates."
        )
    credentials = grpc.ssl_server_credentials(
        [(settings.server_key.encode(), settings.server_cert.encode())],
        root_certificates=settings.custom_ca.encode() or None,
        require_client_auth=settings.client_verify,
    )
    return Tls(credentials, _context(path, settings))


def _context(path: Path, settings: object) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # Python reads a key from files only; these are readable by nobody else and gone at once.
    with tempfile.TemporaryDirectory(prefix="atelier-tls-") as folder:
        files = {name: Path(folder, name) for name in ("server_cert", "server_key")}
        for name, file in files.items():
            file.write_text(getattr(settings, name))
        try:
            context.load_cert_chain(files["server_cert"], files["server_key"])
        except (ssl.SSLError, OSError) as error:
            raise invalid(f"{path}: server_cert and server_key are no matching PEM pair ({error}).") from None
    if authority := settings.custom_ca:  # type: ignore[attr-defined]
        try:
            context.load_verify_locations(cadata=authority)
        except (ssl.SSLError, ValueError) as error:
            raise invalid(f"{path}: custom_ca is no PEM certificate ({error}).") from None
    if settings.client_verify:  # type: ignore[attr-defined]
        context.verify_mode = ssl.CERT_REQUIRED
    return context
