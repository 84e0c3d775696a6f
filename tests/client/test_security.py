"""TLS, mutual TLS, tokens, unix sockets and proxies, against real sockets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from atelier_client import TLS, AsyncClient, Client, Retry
from atelier_client.errors import NotAllowed, NotReachable, SettingsError
from atelier_client.testing import InMemoryServer

from tests.support.ports import free_port
from tests.support.small_server import make_certificates, small_server

ONCE = Retry(attempts=1)


@pytest.fixture
def memory() -> Any:
    """An echo."""
    server = InMemoryServer()
    tensors = {"x": ("int64", (-1,))}
    server.serve("echo", lambda inputs: inputs, inputs=tensors, outputs=tensors)
    return server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def encrypted(memory: Any, certificates: Any) -> Iterator[Any]:
    pair = (certificates.read("server.key"), certificates.read("server.pem"))
    with small_server(memory, credentials=grpc.ssl_server_credentials([pair])) as running:
        yield running


@pytest.fixture
def mutual(memory: Any, certificates: Any) -> Iterator[Any]:
    pair = (certificates.read("server.key"), certificates.read("server.pem"))
    credentials = grpc.ssl_server_credentials([pair], certificates.read("ca.pem"), require_client_auth=True)
    with small_server(memory, credentials=credentials) as running:
        yield running


def echo(target: str, **settings: Any) -> Any:
    with Client(target, "echo", timeout=5, retry=ONCE, **settings) as client:
        return client.predict([1, 2, 3])["x"].tolist()


def test_tls_with_the_right_authority(encrypted: Any, certificates: Any) -> None:
    assert echo(encrypted.address, tls=TLS(ca=certificates.folder / "ca.pem")) == [1, 2, 3]


@pytest.mark.parametrize("settings", [{"ca": "other.pem"}, {"ca": "ca.pem", "server_name": "elsewhere"}, {}])
def test_a_server_that_cannot_be_trusted_is_not_talked_to(
    encrypted: Any, certificates: Any, settings: Any, memory: Any
) -> None:
    if "ca" in settings:
        settings = settings | {"ca": certificates.folder / settings["ca"]}
    with pytest.raises(NotReachable, match="No TLS connection"):
        echo(encrypted.address, tls=TLS(**settings))
    assert not memory.calls


def test_plain_text_to_a_tls_server_is_explained(encrypted: Any) -> None:
    with pytest.raises(NotReachable, match="wants TLS"):
        echo(encrypted.address)


def test_mutual_tls_needs_the_clients_certificate(mutual: Any, certificates: Any) -> None:
    folder = certificates.folder
    whole = TLS(ca=folder / "ca.pem", cert=folder / "client.pem", key=folder / "client.key")
    assert echo(mutual.address, tls=whole) == [1, 2, 3]
    with pytest.raises(NotReachable):
        echo(mutual.address, tls=TLS(ca=folder / "ca.pem"))


def test_the_asynchronous_client_speaks_tls(encrypted: Any, certificates: Any) -> None:
    import asyncio

    async def ask() -> Any:
        tls = TLS(ca=certificates.folder / "ca.pem")
        async with AsyncClient(encrypted.address, "echo", tls=tls, token="open sesame") as client:
            return (await client.predict([1]))["x"].tolist()

    assert asyncio.run(ask()) == [1]
    assert encrypted.metadata[-1]["authorization"] == "Bearer open sesame"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ca": "nowhere.pem"}, "nowhere.pem"),
        ({"ca": "text.pem"}, "text.pem"),
        ({"cert": "client.pem", "key": "server.key"}, "client.pem"),
    ],
)
def test_files_that_are_no_certificates_are_named(certificates: Any, settings: Any, said: str) -> None:
    (certificates.folder / "text.pem").write_text("no certificate")
    paths = {name: certificates.folder / file for name, file in settings.items()}
    with pytest.raises(SettingsError, match=said):
        Client("localhost:1", "echo", tls=TLS(**paths))
    with pytest.raises(SettingsError, match="both files"):
        TLS(cert="client.pem")


def test_a_token_is_sent_and_asked_for_each_time(memory: Any, certificates: Any) -> None:
    pair = (certificates.read("server.key"), certificates.read("server.pem"))
    credentials = grpc.ssl_server_credentials([pair])
    tokens = iter(["old", "secret", "secret"])
    tls = TLS(ca=certificates.folder / "ca.pem")
    with (
        small_server(memory, credentials=credentials, token="secret") as running,
        Client(running.address, "echo", tls=tls, token=lambda: next(tokens)) as client,
    ):
        with pytest.raises(NotAllowed, match="token"):
            client.metadata()
        assert client.predict([5])["x"].tolist() == [5]


def test_a_token_does_not_travel_in_plain_text(memory: Any) -> None:
    with pytest.raises(SettingsError, match="without TLS"):
        Client("models.example:8500", "echo", token="secret")
    with pytest.raises(SettingsError, match="without TLS"):
        AsyncClient("http://models.example:8501", "echo", token="secret")
    with small_server(memory, token="secret") as running:
        assert echo(running.address, token="secret") == [1, 2, 3]


def test_a_unix_socket(memory: Any, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/server.sock"
    with small_server(memory, address):
        assert echo(address, token="secret") == [1, 2, 3]
        np.testing.assert_array_equal(echo(f"unix://{tmp_path}/server.sock"), [1, 2, 3])


def test_a_proxy_of_the_environment_is_used_only_when_asked_for(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("grpc_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    with small_server(memory) as running:
        assert echo(running.address) == [1, 2, 3]
        with pytest.raises(NotReachable):
            echo(running.address, proxy=True)
