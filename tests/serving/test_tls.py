"""TLS and mutual TLS on both ports, and settings that are wrong."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from atelier_serving.status import ServingError
from atelier_serving.tls import Tls

from tests.support.open_inference import call
from tests.support.peer import ONCE, Peer
from tests.support.server import RunningServer
from tests.support.small_server import make_certificates


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
            assert call(channel, "ServerReady").ready
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
        with urllib.request.urlopen(
            f"{url.partition('/v1')[0]}/v2/models/toy/ready", context=context, timeout=5
        ) as answer:
            assert json.loads(answer.read())["ready"]
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


def presented(address: str, context: ssl.SSLContext) -> bytes:
    """The certificate (DER) that a new connection is shown. Raises `OSError` when the server ends the handshake."""
    host, port = address.split(":")
    # gRPC speaks to nobody who does not offer HTTP/2.
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        # With TLS 1.3 a server refuses a client's certificate after the client's own end of the handshake.
        secured.settimeout(0.3)
        try:
            if not secured.recv(1):
                raise ConnectionResetError("the server has closed the connection")
        except TimeoutError:
            pass
        return secured.getpeercert(binary_form=True) or b""


def test_a_renewed_certificate_and_authority_are_taken_up_without_a_restart(
    models: Path, certificates: dict[str, Any], tmp_path: Path
) -> None:
    renewed = make_certificates(tmp_path)
    file = ssl_config(
        tmp_path,
        server_key=certificates["own.key"],
        server_cert=certificates["own.pem"],
        custom_ca=certificates["ca.pem"],
        client_verify=True,
    )
    with _tls_server(models, file, certificates) as (server, known):
        addresses = server.grpc, server.rest.split("//")[1]
        own = ssl.PEM_cert_to_DER_cert(certificates["own.pem"])
        assert [presented(address, known) for address in addresses] == [own, own]

        # What cannot be taken up changes nothing, and is named.
        broken = tmp_path / "broken"
        broken.mkdir()
        ssl_config(broken, server_key="x", server_cert="y").replace(file)
        until(lambda: "The certificate is not renewed: " in server.log_text())
        assert [presented(address, known) for address in addresses] == [own, own]
        fields = {
            "server_key": renewed.read("server.key").decode(),
            "server_cert": renewed.read("server.pem").decode(),
            "custom_ca": renewed.read("ca.pem").decode(),
        }
        ssl_config(broken, **fields).replace(file)
        until(lambda: "client_verify cannot change without a restart" in server.log_text())
        assert [presented(address, known) for address in addresses] == [own, own]

        with _open_channel(server, certificates) as channel:
            grpc.channel_ready_future(channel).result(20)
            ssl_config(broken, **fields, client_verify=True).replace(file)
            until(lambda: f"The certificate of {file} is renewed." in server.log_text())
            # Connections that are open go on.
            peer = Peer(server, models, "toy")
            peer.channel.close()
            peer.prediction = type(peer.prediction)(channel)
            assert peer.scale()[0] in (1.0, 7.0)
        new = ssl.create_default_context(cadata=renewed.read("ca.pem").decode())
        new.load_cert_chain(renewed.folder / "client.pem", renewed.folder / "client.key")
        shown = ssl.PEM_cert_to_DER_cert(renewed.read("server.pem").decode())
        assert [presented(address, new) for address in addresses] == [shown, shown]
        # Whom the authority of before has signed is a stranger now, on both ports.
        stranger = ssl.create_default_context(cadata=renewed.read("ca.pem").decode())
        stranger.load_cert_chain(certificates["folder"] / "own.pem", certificates["folder"] / "own.key")
        for address in addresses:
            with pytest.raises(OSError, match=r"(?i)unknown ca|alert|reset|closed|EOF"):
                presented(address, stranger)


def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _open_channel(server: RunningServer, certificates: dict[str, Any]) -> grpc.Channel:
    pair = (certificates["own.key"].encode(), certificates["own.pem"].encode())
    return grpc.secure_channel(
        server.grpc, grpc.ssl_channel_credentials(certificates["ca.pem"].encode(), *pair)
    )


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
