"""TLS and mutual TLS on both ports, and settings that are wrong."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest
from atelier_serving.status import ServingError
from atelier_serving.tls import Tls

from tests.support.peer import ONCE, Peer
from tests.support.server import RunningServer
from tests.support.toy_models import save_toy


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("surroundings")
    save_toy(folder, version=1, factor=1.0)
    return folder


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An authority, and a key and certificate for 127.0.0.1 signed by it; PEM files by name."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj")
    openssl(*new, "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1")
    openssl(*new, "/CN=localhost", "-keyout", "own.key", "-out", "own.pem", *signed)
    return {file.name: file.read_text() for file in folder.iterdir()} | {"folder": folder}


def ssl_config(folder: Path, **fields: Any) -> Path:
    text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in fields.items())
    file = folder / "ssl.config"
    file.write_text(text)
    return file


def test_mutual_tls_on_grpc_and_rest(models: Path, certificates: dict[str, Any], tmp_path: Path) -> None:
    file = ssl_config(
        tmp_path,
        server_key=certificates["own.key"],
        server_cert=certificates["own.pem"],
        custom_ca=certificates["ca.pem"],
        client_verify=True,
    )
    with _tls_server(models, file, certificates) as (server, context):
        authority = certificates["ca.pem"].encode()
        pair = (certificates["own.key"].encode(), certificates["own.pem"].encode())
        known = grpc.ssl_channel_credentials(authority, *pair)
        with grpc.secure_channel(server.grpc, known) as channel:
            peer = Peer(server, models, "toy")
            peer.channel.close()
            peer.prediction = type(peer.prediction)(channel)
            assert peer.scale()[0] in (1.0, 7.0)
        for stranger in (grpc.ssl_channel_credentials(authority), None):
            channel = (
                grpc.secure_channel(server.grpc, stranger) if stranger else grpc.insecure_channel(server.grpc)
            )
            with channel:
                peer.prediction = type(peer.prediction)(channel)
                with pytest.raises(grpc.RpcError) as raised:
                    peer.scale(timeout=1)
                assert raised.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        url = server.rest.replace("http:", "https:") + "/v1/models/toy"
        with urllib.request.urlopen(url, context=context, timeout=5) as answer:
            assert b"AVAILABLE" in answer.read()
        anonymous = ssl.create_default_context(cadata=certificates["ca.pem"])
        with pytest.raises(OSError, match=r"(?i)certificate required|reset|alert|EOF|closed"):
            urllib.request.urlopen(url, context=anonymous, timeout=5).read()
        with pytest.raises(OSError, match=r"(?i)disconnected|reset|closed"):
            urllib.request.urlopen(server.rest + "/v1/models/toy", timeout=5)


class _tls_server:
    """A server whose readiness is asked for over TLS."""

    def __init__(self, models: Path, file: Path, certificates: dict[str, Any]) -> None:
        from tests.support import server

        self.context = ssl.create_default_context(cadata=certificates["ca.pem"])
        folder = certificates["folder"]
        self.context.load_cert_chain(folder / "own.pem", folder / "own.key")
        self.running = server.running_server(
            models, *ONCE, f"--ssl_config_file={file}", model="toy", context=self.context
        )

    def __enter__(self) -> tuple[RunningServer, ssl.SSLContext]:
        return self.running.__enter__(), self.context

    def __exit__(self, *error: Any) -> bool | None:
        return self.running.__exit__(*error)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "server_key and server_cert must both hold PEM text"),
        ({"server_key": "x", "server_cert": "y"}, "no matching PEM pair"),
        (
            {"server_key": "own.key", "server_cert": "own.pem", "client_verify": True},
            "client_verify needs custom_ca",
        ),
        ({"server_key": "own.key", "server_cert": "own.pem", "custom_ca": "nothing"}, "custom_ca is no PEM"),
        ({"server_key": "own.key", "server_cert": "ca.pem"}, "no matching PEM pair"),
    ],
)
def test_a_wrong_ssl_config_is_named(
    certificates: dict[str, Any], tmp_path: Path, fields: dict[str, Any], error: str
) -> None:
    texts = {name: certificates.get(v, v) if isinstance(v, str) else v for name, v in fields.items()}
    with pytest.raises(ServingError, match=error):
        Tls(ssl_config(tmp_path, **texts))
