"""`doctor` names each kind of fault, in the order in which things go wrong, and finds nothing where nothing is."""

import contextlib
import http.server
import io
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from atelier_client import Client
from atelier_client.cli.main import run
from atelier_client.doctor.checkpoint import needed_bytes, read_index
from atelier_client.doctor.saved_model import read_saved_model
from atelier_client.doctor.warmup import most_rows
from atelier_client.testing import InMemoryServer

from tests.support.client_command import command
from tests.support.ports import free_port
from tests.support.server import running_server
from tests.support.small_server import make_certificates, small_server
from tests.support.toy_models import save_toy


def doctor(*arguments: Any) -> Any:
    """The findings, and the exit code, which says whether one is an error."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = run(["doctor", *map(str, arguments), "--json"])
    findings = json.loads(printed.getvalue())
    assert code == any(finding["state"] == "error" for finding in findings)
    assert all(bool(finding["advice"]) == (finding["state"] != "ok") for finding in findings)
    # With another TensorFlow than the stack's (`make test TENSORFLOW=2.21`) every version here is one to warn of.
    written = f"was written by TensorFlow {metadata.version('tensorflow')};"
    return [finding for finding in findings if written not in finding["text"]]


def faults(*arguments: Any) -> Any:
    """What is not ok, as `check: text`."""
    return [f"{item['check']}: {item['text']}" for item in doctor(*arguments) if item["state"] != "ok"]


@pytest.fixture
def own_models(models: Path, tmp_path: Path) -> Any:
    """A copy of the repository to spoil."""
    own = tmp_path / "models"
    shutil.copytree(models, own)
    config = own / "models.config"
    config.write_text(config.read_text().replace(str(models), str(own)))
    return own


def test_nothing_is_wrong_with_a_good_server_and_folder(server: Any, models: Path) -> None:
    findings = doctor("--target", server.grpc, "--models", models)
    assert {finding["state"] for finding in findings} == {"ok"}
    checks = list(dict.fromkeys(finding["check"] for finding in findings))
    assert checks == [
        "models directory", "models.config", "versions", "version 1", "address", "port", "protocol", "model name",
        "version states", "signatures", "message limits", "answers",
    ]  # fmt: skip
    assert "Nothing is wrong." in command("doctor", "--target", server.grpc).stdout
    assert {finding["state"] for finding in doctor("--target", server.rest)} == {"ok"}


def test_the_folder_is_looked_at_from_the_outside_in(own_models: Path, tmp_path: Path) -> None:
    assert faults("--models", tmp_path / "no") == [f"models directory: {tmp_path / 'no'} does not exist."]
    (found,) = faults("--models", own_models / "fashion")
    assert "holds versions itself (1)" in found
    assert "Did you mean 'fashion'?" in faults("--models", own_models, "--model", "fashon")[-1]
    (own_models / "empty").mkdir()
    (own_models / "models.config").unlink()
    (found,) = faults("--models", own_models, "--model", "empty")
    assert "empty holds no version: a folder whose name is a whole number" in found


def test_names_that_are_no_versions_are_told(own_models: Path) -> None:
    folder = own_models / "fashion"
    for name in ("v2", "0.1", ".staging-1234", "²", "٣", f"{2**63}"):
        (folder / name).mkdir()
    (folder / "3").write_text("a file")
    found = faults("--models", own_models)
    for name, text in (
        ("v2", "is no version: its name is not a whole number"),
        ("0.1", "is no version"),
        (".staging-1234", "is a version being written, or left by"),
        ("3", "is a file; a version is a folder"),
        ("²", "is no version"),
        ("٣", "is no version"),
        (f"{2**63}", "is beyond the largest number of a version"),
    ):
        assert any(f"/{name} {text}" in line for line in found), found
    assert len(found) == 7


def cut(path: Path, size: Any) -> None:
    path.write_bytes(path.read_bytes()[:size])


def zero(path: Path, at: int, size: int = 64) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:at] + bytes(size) + data[at + size :])


SPOILED: dict[str, Callable[[Path], object]] = {
    "variables.data-00000-of-00001 is damaged: the bytes of ": lambda folder: zero(
        folder / "variables/variables.data-00000-of-00001", 20_000
    ),
    "the bytes of _CHECKPOINTABLE_OBJECT_GRAPH": lambda folder: zero(
        folder / "variables/variables.data-00000-of-00001",
        next(
            item.offset
            for item in read_index(folder / "variables/variables.index")
            if item.strings is not None
        )
        + 20,
    ),
    "a block has another checksum": lambda folder: zero(folder / "variables/variables.index", 40, 2),
    "saved_model.pb is missing": lambda folder: (folder / "saved_model.pb").unlink(),
    "saved_model.pb is empty": lambda folder: cut(folder / "saved_model.pb", 0),
    "saved_model.pb is cut short or damaged": lambda folder: cut(folder / "saved_model.pb", 5000),
    "but variables/ is missing or empty": lambda folder: shutil.rmtree(folder / "variables"),
    "variables/variables.index is missing": lambda folder: (folder / "variables/variables.index").unlink(),
    "variables/variables.index is cut short": lambda folder: cut(folder / "variables/variables.index", 100),
    "variables.data-00000-of-00001 is missing": lambda folder: (
        folder / "variables/variables.data-00000-of-00001"
    ).unlink(),
    "variables.data-00000-of-00001 has 1,000 of": lambda folder: cut(
        folder / "variables/variables.data-00000-of-00001", 1000
    ),
}


@pytest.mark.parametrize("said", SPOILED)
def test_a_half_written_version_is_told_apart(own_models: Path, said: str) -> None:
    version = shutil.copytree(own_models / "fashion/1", own_models / "fashion/2")
    SPOILED[said](version)
    (found,) = faults("--models", own_models)
    assert found.startswith(f"version 2: {version} is half-written: ")
    assert said in found


@pytest.mark.parametrize("name", ["saved_model.pb", "fingerprint.pb"])
def test_zeroed_bytes_in_any_file_are_told(own_models: Path, name: str) -> None:
    version = own_models / "fashion" / "1"
    path = version / name
    # A value of the graph: what reads the file finds nothing wrong with it.
    zero(path, path.stat().st_size - 8, 4)
    assert any(
        "is not what was published" in found and name in found for found in faults("--models", own_models)
    )


@pytest.mark.parametrize(
    "name",
    [
        "models.config",
        "fashion/1/saved_model.pb",
        "fashion/1/variables/variables.index",
        "fashion/1/variables/variables.data-00000-of-00001",
        "fashion/1/assets.extra/model_card.json",
        "fashion/1/assets.extra/tf_serving_warmup_requests",
        "fashion/1/assets.extra/golden.npz",
    ],
)
def test_a_pipe_in_a_files_place_is_told_and_not_waited_for(own_models: Path, name: str) -> None:
    (own_models / name).unlink()
    os.mkfifo(own_models / name)
    assert faults("--models", own_models, "--model", "fashion")


def test_the_size_of_the_variables_is_what_their_index_says(models: Path) -> None:
    variables = models / "fashion/1/variables"
    size = (variables / "variables.data-00000-of-00001").stat().st_size
    assert needed_bytes(read_index(variables / "variables.index")) == {0: size}


def test_a_version_of_another_release_than_the_server_is_told(own_models: Path) -> None:
    path = own_models / "fashion/1/saved_model.pb"
    written = metadata.version("tensorflow").encode()
    path.write_bytes(path.read_bytes().replace(written, b"2.99.0"))
    assert read_saved_model(path.parent).tensorflow == "2.99.0"
    found, changed = faults("--models", own_models)
    assert "is not what was published: saved_model.pb has other bytes" in changed
    assert (
        found == "trainer and server: version 1 was written by TensorFlow 2.99.0; the stack serves with 2.20."
    )


def test_models_config_is_checked(own_models: Path) -> None:
    path = own_models / "models.config"
    good = path.read_text()
    (own_models / "other" / "1").mkdir(parents=True)
    entry = 'config { name: "fashion" base_path: "/models/fashion" }'
    labels = '  version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 7 }\n'
    stable = '  version_labels { key: "stable" value: 1 }\n'
    for text, said in (
        ("model_config_list {", "is not a ModelServerConfig text proto"),
        (good.replace("fashion", "shoes"), "fashion is not listed in"),
        (good.replace('base_path: "', 'base_path: "models'), "not absolute"),
        (good.replace('base_path: "/', 'base_path: "/nowhere/'), "/fashion does not exist"),
        (good.replace('/fashion"', '/fashion/1"'), "/fashion/1 is a version, not their folder"),
        (good.replace('/fashion"', '"'), f"the base_path {own_models} holds no version"),
        (good.replace('/fashion"', '/other"'), "/other is another folder than"),
        (good.replace("model_config_list {", f"model_config_list {{ {entry}"), "fashion is listed 2 times"),
        (
            good.replace("config {\n    name", f"config {{\n{labels}    name"),
            "the label canary -> 7 names a version that is not in",
        ),
        (
            good.replace("config {\n    name", f"config {{\n{stable}    name").replace(
                "versions: 1", "versions: 2"
            ),
            "the label stable -> 1 names a version that its model_version_policy does not list (2)",
        ),
    ):
        path.write_text(text)
        found = faults("--models", own_models)
        assert len(found) == 1, found
        assert said in found[0]


def test_addresses_and_ports(server: Any, models: Path) -> None:
    for target, said in (
        ("nowhere", "address: target 'nowhere' is not an address"),
        ("127.0.0.1:99999", "is not an address"),
        ("no-such-host.invalid:8500", "address: The host name 'no-such-host.invalid' is not known here"),
        (f"127.0.0.1:{free_port()}", "port: Nothing listens on 127.0.0.1:"),
        ("unix:/no/such/socket", "address: unix:/no/such/socket: No such file"),
        (server.rest.removeprefix("http://"), "speaks HTTP/1, not gRPC: it is the REST port"),
        (f"http://{server.grpc}", "is a gRPC port"),
        (f"https://{server.rest.removeprefix('http://')}", "speaks no TLS"),
    ):
        found = faults("--target", target)
        assert len(found) == 1, found
        assert said in found[0]
    found = faults("--target", f"{server.grpc},127.0.0.1:{free_port()}")
    assert len(found) == 1
    assert "Nothing listens" in found[0]


def test_a_port_of_another_program() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        (found,) = faults("--target", f"127.0.0.1:{listener.getsockname()[1]}")
        assert "speaks no gRPC (something else came)" in found
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_a_web_server_is_no_model_server() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as web:
        thread = threading.Thread(target=web.serve_forever, daemon=True)
        thread.start()
        (found,) = faults("--target", f"127.0.0.1:{web.server_port}")
        assert "speaks HTTP/1" in found
        web.shutdown()


def ones(inputs: Any) -> Any:
    return {"y": np.ones(len(next(iter(inputs.values()))), np.float32)}


@pytest.fixture(scope="module")
def memory() -> Any:
    server = InMemoryServer()
    y = {"y": ("float32", (-1,))}
    server.serve("good", ones, inputs={"x": ("float32", (-1, 1000))}, outputs=y, label="stable")
    server.serve("odd", ones, inputs={"x": ("float32", (-1,))}, outputs=y, signature="score")
    server.serve("fixed", ones, inputs={"x": ("float32", (1, 3))}, outputs=y)
    return server


def test_tls_of_every_kind(memory: Any, tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    pair = [(certificates.read("server.key"), certificates.read("server.pem"))]
    one_way = grpc.ssl_server_credentials(pair)
    mutual = grpc.ssl_server_credentials(pair, certificates.read("ca.pem"), require_client_auth=True)
    ca = ["--ca", tmp_path / "ca.pem"]
    own = ["--cert", tmp_path / "client.pem", "--key", tmp_path / "client.key"]
    with (
        small_server(memory, credentials=one_way) as secure,
        small_server(memory, credentials=mutual) as strict,
    ):
        cases: list[tuple[Any, list[Any], str]] = [
            (secure, [], "speaks TLS"),
            (secure, ["--tls"], "is not accepted: unable to get local issuer certificate"),
            (secure, ["--ca", tmp_path / "other.pem"], "is not accepted"),
            (secure, [*ca, "--server-name", "elsewhere"], "Hostname mismatch"),
            (secure, ["--ca", tmp_path / "ca.key"], "is no readable PEM file"),
            (secure, ["--cert", tmp_path / "client.pem"], "A client certificate needs both files"),
            (strict, ca, "wants a certificate of the client"),
        ]
        for running, arguments, said in cases:
            found = faults("--target", running.address, "--model", "good", *arguments)
            assert len(found) == 1, found
            assert found[0].startswith("TLS: ")
            assert said in found[0]
        # The certificate of the test ends in two days, the message limit of this server is gRPC's 4 MB.
        for running, arguments in ((secure, ca), (strict, [*ca, *own])):
            found = faults("--target", running.address, "--model", "good", *arguments)
            assert [line.partition(":")[0] for line in found] == ["TLS", "message limits"], found
            assert "ends in 2 days" in found[0]
    with small_server(memory) as plain:
        (found,) = faults("--target", plain.address, *ca)
        assert "does not speak TLS" in found


def test_names_labels_signatures_and_limits(memory: Any) -> None:
    with small_server(memory) as running:
        at = ("--target", running.address, "--model")
        (found,) = faults(*at, "god")
        assert "The server has no model 'god'." in found
        (found,) = faults(*at, "good")
        assert found.startswith("message limits: Not accepted: a request of 1,501 rows, 6.0 MB")
        assert any(
            "stable stands for version 1" in item["text"] for item in doctor(*at, "good", "--label", "stable")
        )
        (found,) = faults(*at, "good", "--label", "best")
        assert found.startswith("labels: The label 'best' is not served")
        (found,) = faults(*at, "good", "--version", "4")
        assert "Version 4 does not answer; 1 do." in found
        (found,) = faults(*at, "odd")
        assert "no serving_default; it has score" in found
        (found,) = faults(*at, "fixed")
        assert "the first dimension is fixed" in found


def test_a_models_folder_that_nobody_asked_for_is_no_error_beside_a_server(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATELIER_MODELS", raising=False)
    with small_server(memory) as running:
        monkeypatch.setenv("ATELIER_TARGET", running.address)
        findings = doctor("--model", "good")
        assert [item["state"] for item in findings if item["check"] == "models directory"] == ["warning"]
        monkeypatch.setenv("ATELIER_MODELS", "models")
        assert "models directory: models does not exist." in faults("--model", "good")


def test_a_candidate_is_no_fault(tmp_path: Path) -> None:
    """A version that models.config does not list waits for its release."""
    models = tmp_path / "models"
    save_toy(models, "toy", 1)
    path = models / "models.config"
    path.write_text(
        f'model_config_list {{ config {{ name: "toy" base_path: "{models}/toy" model_platform: "tensorflow" '
        "model_version_policy { specific { versions: 1 } } } }"
    )
    with running_server(models, f"--model_config_file={path}", model="toy") as server:
        shutil.copytree(models / "toy/1", models / "toy/2")
        findings = doctor("--target", server.grpc, "--models", models, "--model", "toy")
    states = [item for item in findings if item["check"] == "version states"]
    assert {item["state"] for item in states} == {"ok"}
    assert any("Version 2 is a candidate" in item["text"] for item in states)


def test_versions_that_failed_and_labels_that_are_not_set(tmp_path: Path) -> None:
    """A server of version 1 that failed on version 2, and has not heard of a label that models.config sets since."""
    models = tmp_path / "models"
    save_toy(models, "toy", 1)
    entry = f'name: "toy" base_path: "{models}/toy" model_platform: "tensorflow"'
    path = models / "models.config"
    path.write_text(f"model_config_list {{ config {{ {entry} }} }}")
    flags = (f"--model_config_file={path}", "--max_num_load_retries=0", "--file_system_poll_wait_seconds=0.1")
    with running_server(models, *flags, model="toy") as server, Client(server.grpc, "toy") as client:
        copied = shutil.copytree(models / "toy/1", models / "toy/.copied")
        cut(copied / "variables/variables.data-00000-of-00001", 1)
        copied.rename(models / "toy/2")
        deadline = time.monotonic() + 20
        while not any(item.error for item in client.status()) and time.monotonic() < deadline:
            time.sleep(0.1)
        path.write_text(
            f'model_config_list {{ config {{ {entry} version_labels {{ key: "stable" value: 1 }} }} }}'
        )
        found = faults("--target", server.grpc, "--models", models, "--model", "toy")
    assert any("version 2: " in line and "has 1 of" in line for line in found), found
    assert any(line.startswith("version states: toy version 2 failed to load: ") for line in found), found
    assert any("holds version 2, the newest that answers is 1" in line for line in found), found
    assert any("labels: models.config sets stable -> 1, the server does not" in line for line in found), found


def test_both_sides_are_looked_at_when_none_is_named(
    server: Any, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_MODELS", str(models))
    monkeypatch.setenv("ATELIER_TARGET", server.grpc)
    checks = {finding["check"] for finding in doctor()}
    assert {"models directory", "port", "answers"} <= checks
    assert "port" not in {finding["check"] for finding in doctor("--models", models)}
    assert "models directory" not in {finding["check"] for finding in doctor("--target", server.grpc)}


def test_a_warm_up_record_above_the_batching_files_limit_is_told(own_models: Path) -> None:
    rows = most_rows(own_models / "fashion/1/assets.extra/tf_serving_warmup_requests")
    assert rows >= 1
    file = own_models / "batching.config"
    for limit, told in ((rows, False), (rows - 1, True)):
        file.write_text(
            f"# max_batch_size {{ value: 0 }}\nmax_batch_size {{ value: {limit} }}\nnum_batch_threads {{ value: 2 }}\n"
        )
        findings = doctor("--models", own_models)
        texts = [item["text"] for item in findings if item["check"] == "warm-up"]
        assert bool(texts) == told
        assert all(f"has {rows} rows; {file} has max_batch_size {limit}" in text for text in texts)
    (own_models / "fashion/1/assets.extra/tf_serving_warmup_requests").write_bytes(b"no record")
    [found] = faults("--models", own_models)
    assert "tf_serving_warmup_requests is damaged" in found
