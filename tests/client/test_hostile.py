"""What is broken or hostile becomes an error of the client's own, and no sign of it steers the terminal."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from atelier_client import TLS, AsyncClient, Client, Retry, ServedModel
from atelier_client._files import write_text
from atelier_client._model_card import read_golden
from atelier_client._printable import printable
from atelier_client.cli.prediction_rows import readable_rows
from atelier_client.data.csv_file import CsvReader
from atelier_client.data.npz import open_numpy
from atelier_client.data.open import open_reader
from atelier_client.errors import DataError, InputError, NotReachable, ServerFailure, SettingsError
from atelier_client.messages.tensors import decode
from atelier_client.protos import serving_pb2 as pb
from atelier_client.report.files import as_csv, as_junit
from atelier_client.responses import Prediction
from atelier_client.testing import InMemoryServer
from atelier_client.transports.base import METADATA, PREDICT

from tests.support.client_command import COMMAND, command
from tests.support.small_server import make_certificates, small_server

SPECS = {"x": ("float32", (-1,))}
X = np.zeros(2, np.float32)


def echo() -> InMemoryServer:
    server = InMemoryServer()
    server.serve("m", lambda inputs: inputs, inputs=SPECS, outputs=SPECS)
    server.serve(
        "words", lambda inputs: inputs, inputs={"x": ("string", (-1,))}, outputs={"x": ("string", (-1,))}
    )
    return server


def changed(server: InMemoryServer, which: Any, change: Any) -> Any:
    """A `connect` whose answers to one method are changed on their way."""

    def connect(target: Any) -> Any:
        transport = server.connect(target)

        class Changing:
            def call(self, method: Any, request: bytes, timeout: float) -> Any:
                response = transport.call(method, request, timeout)
                if method is which:
                    change(response)
                return response

            def close(self) -> None:
                transport.close()

        return Changing()

    return connect


# Files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (",a,label\n0,1,x\n", r"column 1 of 3 has no name \(pandas writes its index so: index=False\)"),
        ("a,label,\n1,x,\n", r"column 3 of 3 has no name \(the header ends with a separator\)"),
        ("a, ,label\n1,2,x\n", "column 2 of 3 has no name"),
        ("", "is empty"),
        ("\n \n", "is empty"),
    ],
)
def test_a_column_without_a_name_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        list(CsvReader(tmp_path / "a.csv").tables(10))


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n\n1,2\n  \n"x\n\ny",3\n\n')
    [table] = CsvReader(tmp_path / "a.csv").tables(10)
    assert table["a"].tolist() == ["1", "x\n\ny"]


def test_arrays_in_fortran_order_and_empty_texts_are_read(tmp_path: Path) -> None:
    array = np.arange(24).reshape(4, 3, 2)
    np.savez(tmp_path / "a.npz", x=np.asfortranarray(array), label=np.array(["", "", "", ""]))
    for rows in (1, 3, 10):
        tables = list(open_numpy(tmp_path / "a.npz").tables(rows))
        np.testing.assert_array_equal(np.concatenate([table["x"] for table in tables]), array)
        assert [text for table in tables for text in table["label"].tolist()] == [""] * 4


def test_labels_without_rows_and_pipes_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros([2, 2]), label=np.array("cat"))
    with pytest.raises(DataError, match="x has 2, label has 0"):
        open_numpy(tmp_path / "a.npz")
    os.mkfifo(tmp_path / "b.npz")
    with pytest.raises(DataError, match="is no file, but a folder, a pipe"):
        open_numpy(tmp_path / "b.npz")


def golden(folder: Path) -> Path:
    path = folder / "assets.extra" / "golden.npz"
    path.parent.mkdir()
    return path


def test_a_golden_file_that_is_a_bomb_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(golden(tmp_path), "w", zipfile.ZIP_DEFLATED) as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 29,)}
        )
        with archive.open("inputs/x.npy", "w") as member:
            member.write(header.getvalue())
            for _ in range(512):
                member.write(bytes(1 << 20))
    with pytest.raises(DataError, match="which no few examples have"):
        read_golden(tmp_path)


@pytest.mark.parametrize("what", ["pipe", "folder", "promise", "nothing", "rows", "empty", "text"])
def test_a_golden_file_that_is_none_is_told(tmp_path: Path, what: str) -> None:
    path = golden(tmp_path)
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "promise":
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)}
        )
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inputs/x.npy", header.getvalue() + bytes(8))
    elif what == "nothing":
        arrays: dict[str, Any] = {"outputs/y": X}
        np.savez(path, **arrays)
    elif what == "rows":
        arrays = {"inputs/x": np.zeros(3), "inputs/y": np.array(1)}
        np.savez(path, **arrays)
    elif what == "empty":
        arrays = {"inputs/x": np.zeros([0, 2]), "outputs/y": np.zeros(0)}
        np.savez(path, **arrays)
    else:
        path.write_text("{}")
    with pytest.raises(DataError, match=r"golden\.npz is (damaged|no file)"):
        read_golden(tmp_path)


def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    script = (
        "import resource; from pathlib import Path; from atelier_client._files import write_text\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        f"try:\n    write_text('x' * 9000, Path({str(path)!r}))\nexcept OSError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert f"File too large: '{path}'" in done.stdout
    assert not list(tmp_path.iterdir())
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(SettingsError, match="reports is a file; expected a folder"):
        write_text("x", tmp_path / "reports" / "evaluation.json")


# Answers


@pytest.mark.parametrize(
    ("dtype", "shape", "values"),
    [
        (1, (1 << 20, 20_000), {"float_val": [1.0]}),
        (7, (1 << 40,), {"string_val": [b"x"]}),
        (14, (1 << 40,), {"half_val": [1]}),
        (1, (-1,), {"float_val": [1.0]}),
        (7, (-2,), {"string_val": [b"x"]}),
        (3, (1 << 62, 4, 0), {}),
        (3, (0, 1 << 40, 1 << 40), {}),
        (1, (1,) * 65, {"float_val": [1.0]}),
        (7, (1,) * 65, {"string_val": [b"x"]}),
    ],
)
def test_a_few_bytes_fill_no_memory(dtype: int, shape: tuple[int, ...], values: dict[str, Any]) -> None:
    tensor = pb.Tensor(dtype=dtype, **values)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    with pytest.raises(ServerFailure, match="sent a tensor of shape"):
        decode(tensor)


def test_the_last_value_still_stands_for_the_rest() -> None:
    tensor = pb.Tensor(dtype=1, float_val=[1.0, 2.0])
    tensor.tensor_shape.dim.add(size=1000)
    assert decode(tensor).tolist() == [1.0] + [2.0] * 999


def test_a_response_without_the_output_is_an_error() -> None:
    client = Client(
        "localhost:8500", "m", connect=changed(echo(), PREDICT, lambda response: response.outputs.clear())
    )
    with client, pytest.raises(ServerFailure, match="without the output x"):
        client.predict(X, outputs=["x"])


def test_garbage_metadata_is_an_error() -> None:
    def spoil(response: Any) -> None:
        response.metadata["signature_def"].value = b"\xff\xff\xff"

    client = Client("localhost:8500", "m", connect=changed(echo(), METADATA, spoil))
    with client, pytest.raises(ServerFailure, match="no SignatureDefMap"):
        client.metadata()


def test_garbage_on_the_wire_is_an_error_without_a_stack_trace(capfd: pytest.CaptureFixture[str]) -> None:
    class Garbage(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(lambda request, context: b"\xff\xff\xff")

    from concurrent import futures

    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Garbage()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with (
            Client(f"127.0.0.1:{port}", "m") as client,
            pytest.raises(ServerFailure, match="no message of it"),
        ):
            client.metadata()
    finally:
        server.stop(0).wait()
    assert "Traceback" not in capfd.readouterr().err


def test_strings_as_probabilities_and_outputs_without_rows_have_rows_to_show() -> None:
    prediction = Prediction(
        probabilities=np.array([["a", "b"]], object),
        label=np.array([b"x"], object),
        scale=np.array(2.0),
        few=np.zeros(3),
    )
    [row] = readable_rows(prediction, [0], ("a", "b"), 3)
    assert row["label"] == "x"
    assert row["top"] == []
    assert row["outputs"]["scale"] == 2.0


# The library's own errors


@pytest.mark.parametrize("version", ["1", 1.0, True, -1, 2**63, [1]])
def test_a_version_that_is_none_is_told(version: Any) -> None:
    with echo().client("m") as client:
        for call in (client.predict, client.classify, client.regress):
            with pytest.raises(InputError, match="A version is a whole number"):
                call({"x": X}, version=version)
        with pytest.raises(InputError, match="A version is a whole number"):
            client.metadata(version=version)
        with pytest.raises(InputError, match="A version is a whole number"):
            client.wait_ready(1, version)
        assert client.predict(X, version=np.int64(1)).versions == (1,)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [{"timeout": None}, {"timeout": "3"}, {"timeout": True}, {"timeout": float("nan")}, {"timeout": 0}],
)
def test_a_timeout_that_is_none_is_told(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="timeout must be a number of seconds"):
        Client("localhost:8500", "m", **settings)


@pytest.mark.parametrize(
    ("target", "model"),
    [(None, "m"), (8500, "m"), ([8500], "m"), ("localhost:8500", None), ("localhost:8500", 3)],
)
def test_a_target_or_model_that_is_none_is_told(target: Any, model: Any) -> None:
    with pytest.raises(SettingsError):
        Client(target, model)


def test_a_label_or_number_of_rows_of_another_type_is_told() -> None:
    with echo().client("m") as client:
        with pytest.raises(InputError, match="A label is a text, not 3"):
            client.predict(X, label=3)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="rows_per_request is a whole number"):
            client.predict(X, rows_per_request="3")  # type: ignore[arg-type]
        assert client.predict(X, outputs="x")["x"].tolist() == [0, 0]


@pytest.mark.parametrize("rest", [False, True])
def test_a_closed_client_says_so(rest: bool) -> None:
    address = "http://127.0.0.1:9" if rest else "127.0.0.1:9"
    client = Client(address, "m")
    client.close()
    with pytest.raises(SettingsError, match="The client is closed"):
        client.predict(X)

    async def ask() -> None:
        other = AsyncClient(address, "m")
        await other.close()
        with pytest.raises(SettingsError, match="The client is closed"):
            await other.predict(X)

    asyncio.run(ask())


def test_an_async_client_belongs_to_one_event_loop() -> None:
    with small_server(echo()) as server:
        client = AsyncClient(server.address, "m")
        assert asyncio.run(client.predict(X))["x"].tolist() == [0, 0]
        with pytest.raises(SettingsError, match="belongs to the event loop"):
            asyncio.run(client.predict(X))


@pytest.mark.parametrize("rest", [False, True])
def test_closing_an_async_client_ends_its_calls_with_its_own_error(server: Any, rest: bool) -> None:
    async def ask() -> None:
        client = AsyncClient(server.rest if rest else server.grpc, "fashion")
        await client.status()
        images = np.zeros([200, 28, 28], np.uint8)
        call = asyncio.ensure_future(client.predict(images, rows_per_request=1))
        await asyncio.sleep(0.05)
        await client.close()
        with pytest.raises(SettingsError, match=r"The client (was|is) closed"):
            await call
        assert not call.cancelled()

    asyncio.run(ask())


ONCE = Retry(attempts=1)


def test_rest_on_a_grpc_port_is_told_and_the_reverse(server: Any, tmp_path: Path) -> None:
    for target, said in (
        (f"http://{server.grpc}", "is a gRPC port: it answers in HTTP/2. Give it without http://"),
        (server.rest.removeprefix("http://"), "speaks HTTP/1, not gRPC: it is the REST port"),
        (f"https://{server.grpc}", "or it does not speak TLS"),
    ):
        with Client(target, "fashion", timeout=5, retry=ONCE) as client, pytest.raises(NotReachable) as told:
            client.status()
        assert said in str(told.value)
        assert printable(str(told.value)) == str(told.value)
    certificates = make_certificates(tmp_path)
    own = grpc.ssl_server_credentials([(certificates.read("server.key"), certificates.read("server.pem"))])
    with small_server(echo(), credentials=own) as secure:
        client = Client(f"https://{secure.address}", "m", retry=ONCE, tls=TLS(ca=tmp_path / "ca.pem"))
        with client, pytest.raises(NotReachable, match="this port is that of gRPC"):
            client.status()


# What a program gives by mistake: one value of each kind that has nothing to do with the argument.
WRONG: list[Any] = [
    3.5,
    b"x",
    object(),
    {3},
    [1],
    [[]],
    {"x": None},
    np.zeros((2, 2)),
    np.array(3),
    "\ud800",
    True,
]


def test_arguments_of_other_types_are_told() -> None:
    def model(**changed: Any) -> Any:
        with echo().client("m") as client:
            client.reload([ServedModel(**{"name": "m", "base_path": "/m", **changed})])

    def opened(**settings: Any) -> Any:
        return Client("127.0.0.1:9", "m", **settings)

    with echo().client("m") as client:
        calls: dict[str, Any] = {
            "A signature's name is a text": lambda value: client.predict(X, signature=value),
            "A signature's name is": lambda value: client.classify({"x": X}, signature=value),
            "outputs are names": lambda value: client.predict(X, outputs=value),
            "A label is a text": client.version_of,
            "A label is": lambda value: client.metadata(label=value),
            "^Rows are a list|^Row 0 is a|number of rows|expected integers|a feature's name": client.classify,
            "reload takes a list of ServedModel": client.reload,
            "A model needs a name": lambda value: model(name=value),
            "base_path is a text": lambda value: model(base_path=value),
            "labels are versions by name": lambda value: model(labels=value),
            "retry must be a Retry": lambda value: opened(retry=value),
            "TLS takes a path for ca": lambda value: TLS(ca=value),
            "TLS takes a host's name": lambda value: TLS(server_name=value),
        }
        for said, call in calls.items():
            for value in WRONG:
                if isinstance(value, str) and "path for" in said:
                    continue
                with pytest.raises((InputError, SettingsError), match=said):
                    call(value)
        for value in (None, 3, "x", [object()], [{"name": "m"}]):
            with pytest.raises(InputError, match=r"reload takes a list of ServedModel, such as \[Serv"):
                client.reload(value)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=r"Rows are a list of mappings .* 3 came"):
            client.classify(3)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="Row 0: a feature's name is a text, not 1"):
            client.classify([{1: 2}])  # type: ignore[dict-item]
        with pytest.raises(InputError, match="A label is a text, not ''"):
            client.predict(X, label="")
    for wrong in (
        {"versions": 3},
        {"versions": [True]},
        {"versions": ["1"]},
        {"latest": None},
        {"latest": 2**32},
    ):
        with pytest.raises(InputError, match=r"Model 'm': (versions are|latest is a) whole number"):
            model(**wrong)
    wrong_retries: list[dict[str, Any]] = [
        {"attempts": "3"},
        {"attempts": 1.5},
        {"first": None},
        {"most": float("nan")},
        {"budget": []},
    ]
    for given in wrong_retries:
        with pytest.raises(SettingsError, match="attempts must be a whole number from 1"):
            Retry(**given)
    for settings in ({"tls": "ca.pem"}, {"tls": 1}, {"proxy": "yes"}):
        with pytest.raises(SettingsError, match=r"(tls|proxy) is True"):
            opened(**settings)


@pytest.mark.parametrize("scheme", ["", "http://"])
@pytest.mark.parametrize("token", ["secret\n", "", "sécret", "a\0b", 3, b"secret"])
def test_a_token_that_no_header_carries_is_told_and_not_shown(scheme: str, token: Any) -> None:
    with pytest.raises(SettingsError, match=r"(?i)the token is") as told:
        Client(f"{scheme}127.0.0.1:9", "m", token=token)
    assert "cret" not in str(told.value)
    client = Client(f"{scheme}127.0.0.1:9", "m", token=lambda: token, retry=ONCE)
    with client, pytest.raises(SettingsError, match="The token is"):
        client.status()


@pytest.mark.parametrize(
    "name", ["a.csv", "a.npy", "a.npz", "a.parquet", "a.tfrecord", "a-idx3-ubyte", "folder", "shards"]
)
def test_no_pipe_is_waited_for(tmp_path: Path, name: str) -> None:
    path = pipe = tmp_path / name
    if "." not in name and "idx" not in name:
        pipe = path / ("0.tfrecord" if name == "shards" else "cat/1.png")
        pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    with pytest.raises(DataError, match="is no file, but a folder, a pipe or a device"):
        open_reader(path)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.png", "a.csv"])
def test_predict_waits_for_no_pipe(server: Any, models: Path, tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    done = command("predict", tmp_path / name, "--target", server.grpc, "--models", models)
    assert done.returncode == 2
    assert f"{name} is no file, but a folder, a pipe or a device" in done.stderr


def test_a_file_in_the_place_of_the_reports_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for words, place, told in (
        (["evaluate"], "file", "file is a file"),
        (["diff", "1", "2"], "file/reports", "file is a file"),
        (["bench"], "link", "link is a broken link"),
    ):
        # No server is there: the command ends before it asks one.
        done = command(*words, "--target", "127.0.0.1:9", "--reports", tmp_path / place)
        assert done.returncode == 2
        assert told in done.stderr
        assert "expected a folder" in done.stderr


@pytest.mark.parametrize("text", ["half \ud83d", "\udcff"])
def test_half_an_emoji_is_told(text: str) -> None:
    with echo().client("words") as client, pytest.raises(InputError, match="half of one"):
        client.predict([text])


# The commands


def test_half_an_emoji_and_a_closed_stdin_are_one_message(tmp_path: Path) -> None:
    with small_server(echo()) as server:
        asked = ["predict", "--target", server.address, "--model", "words", "--models", tmp_path]
        (tmp_path / "a.jsonl").write_text('"\\ud83d"\n')
        for more in (["--text", b"\xff\xfe"], [tmp_path / "a.jsonl"]):
            done = subprocess.run(
                [os.fsencode(str(item)) if not isinstance(item, bytes) else item for item in [COMMAND, *asked, *more]],
                capture_output=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 2, done.stderr
            assert b"half of one" in done.stderr
        words = " ".join(map(str, [COMMAND, *asked, "-"]))
        done = subprocess.run(f"exec {words} <&-", shell=True, capture_output=True, timeout=60, check=False)
        assert done.returncode == 2, done.stderr
        assert b"stdin" in done.stderr
        assert b"Traceback" not in done.stderr
        (tmp_path / "b.jsonl").write_bytes(b'"a"\n"\xff"\n')
        with open(tmp_path / "b.jsonl", "rb") as stdin:
            told = command(
                *asked, "-", stdin=stdin, env=os.environ | {"PYTHONUTF8": "1", "LC_ALL": "C.UTF-8"}
            )
        assert told.returncode == 2, told.stderr
        assert "Traceback" not in told.stderr


def test_mistakes_of_every_kind_of_input_are_shown(tmp_path: Path) -> None:
    """Texts [N,1], truth values, NaN: what the report's page shows of wrongly classified rows."""
    memory = InMemoryServer()
    memory.serve(
        "m",
        lambda inputs: {"probabilities": np.tile(np.array([0.75, 0.25], np.float32), [len(inputs["c"]), 1])},
        inputs={
            "c": ("string", (-1, 1)),
            "d": ("bool", (-1, 1)),
            "n": ("int64", (-1,)),
            "f": ("float32", (-1, 2, 2)),
        },
        outputs={"probabilities": ("float32", (-1, 2))},
    )
    pictures = np.array([[[1, 2], [3, np.nan]]] * 2, np.float32)
    texts = np.array([["long " * 99], ["<b>"]])
    truth = np.array([[True], [False]])
    np.savez(
        tmp_path / "a.npz",
        c=texts,
        d=truth,
        n=np.array([2**53 + 1, 3]),
        f=pictures,
        label=np.array(["b", "b"]),
    )
    with small_server(memory) as server:
        asked = ["--target", server.address, "--model", "m", "--models", tmp_path, "--reports", tmp_path]
        done = command("evaluate", tmp_path / "a.npz", *asked, "--class-names", "a,b")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "evaluation.html").read_text(encoding="utf-8")
    for shown in ("c: long long", " …", "d: True", "9.007e+15", "f: 1, 2, 3, nan", "c: &lt;b&gt;"):
        assert shown in page


def test_no_report_holds_the_control_characters_of_a_class(tmp_path: Path) -> None:
    memory = InMemoryServer()
    memory.serve(
        "m",
        lambda inputs: {"probabilities": np.tile(np.array([0.75, 0.25], np.float32), [len(inputs["x"]), 1])},
        inputs=SPECS,
        outputs={"probabilities": ("float32", (-1, 2))},
    )
    (tmp_path / "a.csv").write_text("x,label\n1,\x1b[31m<red>\n2,\u202eb\n")
    with small_server(memory) as server:
        asked = ["--target", server.address, "--model", "m", "--models", tmp_path, "--reports", tmp_path]
        done = command(
            "evaluate",
            tmp_path / "a.csv",
            *asked,
            "--class-names",
            "\x1b[31m<red>,\u202eb",
            "--slice",
            "label",
        )
    assert done.returncode == 0, done.stderr
    for path in tmp_path.glob("evaluation.*"):
        text = path.read_text(encoding="utf-8")
        assert "\x1b" not in text, path
        assert "\u202e" not in text, path
    assert r"\x1b[31m&lt;red&gt;" in (tmp_path / "evaluation.html").read_text(encoding="utf-8")


def test_labels_of_the_server_do_not_steer_the_terminal(tmp_path: Path) -> None:
    memory = InMemoryServer()
    memory.serve(
        "m",
        lambda inputs: {"label": np.array([b"\x1b]0;owned\x07\x1b[31mred"] * len(inputs["x"]), object)},
        inputs=SPECS,
        outputs={"label": ("string", (-1,))},
    )
    with small_server(memory) as server:
        (tmp_path / "a.jsonl").write_text("1.0\n")
        asked = ["--target", server.address, "--model", "m"]
        done = command("predict", tmp_path / "a.jsonl", *asked, "--models", tmp_path)
        assert done.returncode == 0, done.stderr
        assert "\x1b]" not in done.stdout + done.stderr
        assert "\x07" not in done.stdout + done.stderr
        assert "red" in done.stdout
        memory.fail("INVALID_ARGUMENT", "bad \x1b[2J text", times=9)
        done = command("metadata", *asked)
        assert done.returncode == 2
        assert r"bad \x1b[2J text" in done.stderr


@pytest.mark.parametrize(
    "text", ["\x1b[31m", "a\x07", "\x9b31m", "a\u202eb", "\r", "\x7f", "\ud83d", "\u2028"]
)
def test_signs_that_steer_are_written_out(text: str) -> None:
    shown = printable(text)
    assert shown.isascii()
    assert shown.isprintable()


def test_ordinary_text_is_shown_as_it_is() -> None:
    text = "Köln\t日本 🎉\nÉ"
    assert printable(text) == text


REPORT: dict[str, Any] = {
    "model": {"name": "m", "version": 1},
    "metrics": {"accuracy": 0.5},
    "intervals": {"accuracy": (0.1, 0.9)},
    "dataset": {"examples": 2},
    "throughput": {"seconds": 1},
    "environment": {"started_at": "now"},
    "slices": [],
}


@pytest.mark.parametrize("label", ["=cmd()", "@sum", "+1", "-1", "\tx", "\r=x", "\n=x"])
def test_no_cell_of_the_csv_report_is_a_formula(label: str) -> None:
    rows = [{"label": label, "precision": -0.5, "support": 1, "intervals": {"precision": (-1.0, 0.0)}}]
    [_, _, row] = csv.reader(io.StringIO(as_csv(REPORT | {"per_class": rows})))
    assert not row[1].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert row[1].lstrip("'")
    assert float(row[3]) == -0.5


def test_junit_is_xml_whatever_a_reason_holds() -> None:
    from xml.etree import ElementTree

    text = as_junit(REPORT, [("a \x1b b", "why \x00 <not>")])
    failure = ElementTree.fromstring(text).find(".//failure")
    assert failure is not None
    assert failure.text == r"why \x00 <not>"
    json.dumps(text)
