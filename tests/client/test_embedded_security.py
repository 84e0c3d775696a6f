"""The embedded server's TLS and mutual TLS, over gRPC and REST; a reload; classify and regress."""

import contextlib
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client import TLS, Client, Retry, ServedModel
from atelier_client.errors import ModelNotFound, NotReachable
from numpy.typing import NDArray

from tests.support.client_command import command
from tests.support.server import running_server
from tests.support.small_server import make_certificates
from tests.support.toy_models import save_regressor

ONCE = Retry(attempts=1)
TRANSPORTS = ("grpc", "rest")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def whole(certificates: Any) -> Any:
    """What a client of the mutual TLS server needs."""
    return TLS(*(certificates.folder / name for name in ("ca.pem", "client.pem", "client.key")))


@pytest.fixture(scope="module")
def mutual(
    models: Path, certificates: Any, whole: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Asks for a client certificate; serves `fashion` alone until it is told otherwise."""
    folder = tmp_path_factory.mktemp("mutual")
    config = folder / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "fashion" base_path: "{models / "fashion"}" '
        'model_platform: "tensorflow" } }'
    )
    flags = (f"--ssl_config_file={ssl_config(folder, certificates, client_verify=True)}",)
    with running_server(models, *flags, f"--model_config_file={config}", context=whole.context()) as running:
        yield running


@pytest.fixture(scope="module")
def encrypted(models: Path, certificates: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Encrypts, and lets everyone in."""
    file = ssl_config(tmp_path_factory.mktemp("tls"), certificates)
    context = ssl.create_default_context(cafile=certificates.folder / "ca.pem")
    with running_server(models, f"--ssl_config_file={file}", context=context) as running:
        yield running


def ssl_config(folder: Path, certificates: Any, client_verify: Any = False) -> Any:
    """An SSLConfig for the server's own pair; with `client_verify` for clients of the same authority only."""
    fields = {"server_key": "server.key", "server_cert": "server.pem", "custom_ca": "ca.pem"}
    lines = [f"{name}: {json.dumps(certificates.read(file).decode())}" for name, file in fields.items()]
    lines.append(f"client_verify: {str(client_verify).lower()}")
    file = folder / "ssl.config"
    file.write_text("\n".join(lines))
    return file


def address(running: Any, transport: Any) -> Any:
    return running.grpc if transport == "grpc" else running.rest.replace("http:", "https:")


@contextlib.contextmanager
def opened(running: Any, transport: Any, tls: Any, model: str = "fashion", **settings: Any) -> Iterator[Any]:
    with Client(
        address(running, transport), model, tls=tls, retry=ONCE, **{"timeout": 5, **settings}
    ) as client:
        yield client


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_encrypted_answer_is_the_plain_one(
    encrypted: Any, client: Client, certificates: Any, images: NDArray[Any], transport: Any
) -> None:
    with opened(encrypted, transport, TLS(ca=certificates.folder / "ca.pem"), timeout=30) as secure:
        mine, theirs = secure.predict(images[:300], rows_per_request=100), client.predict(images[:300])
        np.testing.assert_array_equal(mine["class_id"], theirs["class_id"])
        assert secure.wait_ready(5) == 1
        assert secure.metadata() == client.metadata()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("authority", [None, "other.pem"])
def test_a_server_of_another_authority_is_not_talked_to(
    encrypted: Any, certificates: Any, transport: Any, authority: Any
) -> None:
    tls = TLS(ca=certificates.folder / authority) if authority else True
    with (
        opened(encrypted, transport, tls) as stranger,
        pytest.raises(NotReachable, match="No TLS connection"),
    ):
        stranger.status()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_plain_text_to_a_server_that_encrypts_is_refused(encrypted: Any, transport: Any) -> None:
    target = encrypted.grpc if transport == "grpc" else encrypted.rest
    with (
        Client(target, "fashion", timeout=5, retry=ONCE) as plain,
        pytest.raises(NotReachable, match="wants TLS"),
    ):
        plain.status()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_mutual_tls_answers_who_shows_a_certificate_and_nobody_else(
    mutual: Any, certificates: Any, whole: Any, images: NDArray[Any], transport: Any
) -> None:
    with opened(mutual, transport, whole) as known:
        assert known.predict(images[:5])["class_id"].shape == (5,)
    # In TLS 1.3 the server's refusal comes after the client's handshake is done: gRPC says only that it closed.
    said = r"certificate of the client \(--cert, --key\)"
    anonymous = TLS(ca=certificates.folder / "ca.pem")
    with opened(mutual, transport, anonymous) as nobody, pytest.raises(NotReachable, match=said):
        nobody.status()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_commands_take_the_files(mutual: Any, certificates: Any, transport: Any) -> None:
    folder = certificates.folder
    target = ("--target", address(mutual, transport), "--ca", folder / "ca.pem")
    done = command("status", *target, "--cert", folder / "client.pem", "--key", folder / "client.key")
    assert done.returncode == 0, done.stderr
    assert "AVAILABLE" in done.stdout
    refused = command("status", *target, "--timeout", "5")
    assert refused.returncode == 3
    assert "certificate of the client (--cert, --key)" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_reload_changes_what_is_served(
    mutual: Any, whole: Any, models: Path, images: NDArray[Any], tmp_path: Path
) -> None:
    """The regressor comes, the classifier keeps answering and gets a label; then the regressor goes."""
    save_regressor(tmp_path)
    fashion = ServedModel("fashion", str(models / "fashion"), versions=(1,), labels={"stable": 1})
    regressor = ServedModel("half", str(tmp_path / "half"))
    with (
        opened(mutual, "grpc", whole, timeout=30) as classifier,
        opened(mutual, "grpc", whole, "half") as half,
        opened(mutual, "rest", whole, "half") as half_rest,
        opened(mutual, "rest", whole) as rest,
    ):
        before = classifier.predict(images[:20])
        with pytest.raises(ModelNotFound):
            half.status()
        classifier.reload([fashion, regressor])
        # The server has answered: both models are there, without waiting.
        assert half.regress([{"x": 3.0}, {"x": 5.0}])["outputs"].tolist() == [1.5, 2.5]
        over_rest = half_rest.regress([{"x": 3.0}, {"x": 5.0}])["outputs"]
        assert over_rest.dtype == np.float32
        assert over_rest.tolist() == [1.5, 2.5]
        assert classifier.version_of("stable") == 1
        after = classifier.predict(images[:20], label="stable")
        np.testing.assert_allclose(after["probabilities"], before["probabilities"], atol=1e-6)
        mine, theirs = rest.classify({"images": images[:20]}), classifier.classify({"images": images[:20]})
        assert mine["classes"].tolist() == theirs["classes"].tolist()
        np.testing.assert_allclose(mine["scores"], theirs["scores"], atol=1e-6)
        classifier.reload([fashion])
        with pytest.raises(ModelNotFound):
            half.regress([{"x": 3.0}])
        assert classifier.predict(images[:20]).versions == (1,)
