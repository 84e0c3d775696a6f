"""The REST transport: the same interface, the same predictions, the same errors."""

import asyncio
import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client import TLS, AsyncClient, Client, Retry, ServedModel
from atelier_client.errors import (
    InputError,
    InvalidRequest,
    ModelNotFound,
    NotReachable,
    NotSupported,
    ServerFailure,
    SettingsError,
    TimedOut,
)
from numpy.typing import NDArray

from tests.support.client_command import command
from tests.support.ports import free_port
from tests.support.server import running_server
from tests.support.toy_models import save_toy

ONCE = Retry(attempts=1)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("toys")
    save_toy(folder)
    with running_server(folder, model="toy") as running:
        yield running


@pytest.fixture
def rest(server: Any) -> Iterator[Any]:
    with Client(server.rest, "fashion") as opened:
        yield opened


def test_predict_answers_as_over_grpc(client: Client, rest: Any, images: NDArray[Any]) -> None:
    mine, theirs = client.predict(images[:1500]), rest.predict(images[:1500])
    assert set(mine) == set(theirs)
    assert len(theirs.seconds) > 1
    for name in mine:
        assert mine[name].dtype == theirs[name].dtype
        if name == "probabilities":
            np.testing.assert_allclose(mine[name], theirs[name], atol=1e-6)
        else:
            np.testing.assert_array_equal(mine[name], theirs[name])
    assert list(rest.predict(images[:2], outputs=["label"])) == ["label"]
    assert rest.predict(images[:1], version=1).versions == (1,)


def test_metadata_status_and_readiness_are_those_of_grpc(client: Client, rest: Any) -> None:
    assert rest.metadata() == client.metadata()
    assert rest.status() == client.status()
    assert rest.wait_ready(5) == rest.newest_available() == 1


def test_every_kind_of_tensor_survives(toy: Any) -> None:
    text: list[Any] = ["plain", "umlaut ä", b"bytes"]
    with Client(toy.grpc, "toy") as grpc, Client(toy.rest, "toy") as rest:
        for opened in (grpc, rest):
            prediction = opened.predict({"text": text, "number": [1, 2**62, -3]}, signature="echo")
            assert prediction["text"].tolist() == [b"plain", "umlaut ä".encode(), b"bytes"]
            assert prediction["number"].tolist() == [2, 2**62 + 1, -2]
            assert opened.predict(np.bool_(True), signature="scalar")["flag"].tolist() is False
            odd = opened.predict(np.array([np.nan, np.inf, 1e-30], np.float32))["y"]
            np.testing.assert_array_equal(odd, np.array([np.nan, np.inf, 2e-30], np.float32))
            assert opened.predict([0.5, 2**24 + 0.0])["y"].tolist() == [1.0, 2.0**25]
        data = grpc.predict({"text": [b"\0\xff\0"], "number": [1]}, signature="echo")
        assert data["raw_bytes"].tolist() == [b"\0\xff\0"]
        assert rest.predict({"text": [b"\0\xff\0"], "number": [1]}, signature="echo", outputs=["raw_bytes"])[
            "raw_bytes"
        ].tolist() == [b"\0\xff\0"]
        half = grpc.predict(np.ones(2, np.float16), signature="half")["y"]
        assert half.dtype == np.float16
        with pytest.raises(NotSupported):
            rest.predict(np.ones(2, np.float16), signature="half")


def test_errors_are_those_of_grpc(server: Any, rest: Any, images: NDArray[Any]) -> None:
    with Client(server.rest, "nix", retry=ONCE) as opened, pytest.raises(ModelNotFound, match="nix"):
        opened.predict(images[:1])
    with pytest.raises(ModelNotFound, match="Specific"):
        rest.predict(images[:1], version=99)
    with pytest.raises(InvalidRequest, match="best"):
        rest.predict(images[:1], label="best")
    with pytest.raises(InputError, match="Did you mean 'images'"):
        rest.predict({"image": images[:1]})
    with pytest.raises(NotSupported, match="gRPC address"):
        rest.reload([ServedModel("fashion", "/models/fashion")])
    nowhere = Client(f"http://127.0.0.1:{free_port()}", "fashion", retry=ONCE)
    with nowhere as opened, pytest.raises(NotReachable, match="usual causes"):
        opened.status()


@pytest.mark.parametrize("timeout", [2**70, 10**400, 1e300, 30 * 86_400])
def test_a_timeout_beyond_what_clocks_can_count_is_a_long_one(server: Any, timeout: float) -> None:
    """REST raised OverflowError, and gRPC had timed out at once."""

    async def ask(target: str) -> None:
        async with AsyncClient(target, "fashion", timeout=timeout) as opened:
            await opened.status()

    for target in (server.rest, server.grpc):
        with Client(target, "fashion", timeout=timeout) as opened:
            assert opened.status()
            assert opened.wait_ready(timeout) == 1
        asyncio.run(ask(target))


def test_the_asynchronous_client_speaks_rest(server: Any, images: NDArray[Any]) -> None:
    async def ask() -> Any:
        async with AsyncClient(server.rest, "fashion") as opened:
            return await opened.predict(images[:900], rows_per_request=100)

    assert len(asyncio.run(ask())["label"]) == 900


def test_a_connection_the_server_has_closed_is_made_anew(models: Path, images: NDArray[Any]) -> None:
    with running_server(models) as first, Client(first.rest, "fashion", timeout=10, retry=ONCE) as opened:
        opened.predict(images[:1])
        transport: Any = opened._transports[0]
        connection = transport._connections._idle[0]
        connection.sock.shutdown(2)
        assert opened.predict(images[:1]).keys()


@pytest.fixture
def stranger() -> Iterator[Any]:
    """Some other web server: says what it is told, and keeps what it was sent."""
    responses: list[Any] = []
    posted: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.do_GET()

        def do_GET(self) -> None:
            status, body, wait = responses[0] if len(responses) == 1 else responses.pop(0)
            threading.Event().wait(wait)
            self.send_response(status)
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):  # a client that has stopped waiting
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", responses, posted
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("response", "kind", "said"),
    [
        ((200, b"<html>welcome</html>", 0), ServerFailure, "Is this its REST port"),
        ((200, b"[1]", 0), ServerFailure, "no answer of a model server"),
        ((200, b'{"hello": 1}', 0), ServerFailure, "not what TensorFlow Serving answers"),
        ((404, b"<html>nothing here</html>", 0), ModelNotFound, "HTTP 404"),
        ((302, b"", 0), ServerFailure, "HTTP 302"),
        ((200, b"{}", 1), TimedOut, "did not answer within"),
    ],
)
def test_another_web_server_is_told_apart(stranger: Any, response: Any, kind: Any, said: str) -> None:
    target, responses, _ = stranger
    responses.append(response)
    with Client(target, "fashion", timeout=0.5, retry=ONCE) as opened, pytest.raises(kind, match=said):
        opened.status()


SIGNATURES = {
    "model_spec": {"name": "m", "signature_name": "", "version": "4"},
    "metadata": {
        "signature_def": {
            "signature_def": {
                method: {
                    "inputs": {"inputs": {"dtype": "DT_STRING", "tensor_shape": {"dim": [{"size": "-1"}]}}},
                    "outputs": {},
                    "method_name": f"tensorflow/serving/{method}",
                }
                for method in ("classify", "regress")
            }
        }
    },
}


def test_classify_and_regress_in_the_documented_form(stranger: Any) -> None:
    """https://www.tensorflow.org/tfx/serving/api_rest#classify_and_regress_api, its key being `results`."""
    target, responses, posted = stranger
    responses.append((200, json.dumps(SIGNATURES).encode(), 0))
    responses.append((200, b'{"results": [[["cat", 0.75], ["dog", 0.25]], [["dog", 1.0], ["cat", 0.0]]]}', 0))
    responses.append((200, b'{"results": [1.5, -2.0]}', 0))
    with Client(target, "m", retry=ONCE) as opened:
        prediction = opened.classify([{"x": 1, "s": b"\xff"}, {"x": 2.5, "s": "y"}])
        assert prediction["classes"].tolist() == [[b"cat", b"dog"], [b"dog", b"cat"]]
        assert prediction["scores"].tolist() == [[0.75, 0.25], [1.0, 0.0]]
        assert opened.regress([{"x": 1}, {"x": 2}])["outputs"].tolist() == [1.5, -2.0]
    assert posted[0][0] == "/v1/models/m:classify"
    assert json.loads(posted[0][1]) == {
        "signature_name": "classify",
        "examples": [{"x": [1], "s": [{"b64": "/w=="}]}, {"x": [2.5], "s": [{"b64": "eQ=="}]}],
    }


def test_settings_rest_does_not_have_are_refused() -> None:
    with pytest.raises(SettingsError, match="https"):
        Client("http://localhost:1", "m", tls=TLS())
    with pytest.raises(SettingsError, match="host name"):
        Client("https://localhost:1", "m", tls=TLS(server_name="x"))


def test_the_commands_speak_rest(server: Any, models: Path) -> None:
    done = command("status", "--target", server.rest)
    assert done.returncode == 0
    assert "AVAILABLE" in done.stdout
