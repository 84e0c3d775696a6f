"""One port of the embedded server, asked by both protocols: what comes back is the same to the bit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from atelier_client import Client
from atelier_client.errors import InputError, InvalidRequest, ModelNotFound
from atelier_client.request_log import Recorder, read

from tests.support.client_command import command
from tests.support.server import await_versions, running_server

KINDS = [
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
]
FORMS = ["grpc", "rest"]


def v2(server: Any, form: str) -> str:
    return f"v2+grpc://{server.grpc}" if form == "grpc" else f"v2+{server.rest}"


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A model that answers each input as it came, and the bfloat16 of one."""
    folder = tmp_path_factory.mktemp("kinds")
    module = tf.Module()
    spec = {kind: tf.TensorSpec([None, 3], kind, name=kind) for kind in KINDS}
    spec["string"] = tf.TensorSpec([None, 3], tf.string, name="string")

    @tf.function(input_signature=[spec])
    def echo(inputs: Any) -> Any:
        same = {f"same_{name}": tf.identity(value) for name, value in inputs.items()}
        return same | {"same_bfloat16": tf.cast(inputs["float32"], tf.bfloat16)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def double(x: Any) -> Any:
        return {"y": 2 * x}

    signatures = {
        "serving_default": echo.get_concrete_function(),
        "double": double.get_concrete_function(),
    }
    for version in ("1", "2"):
        tf.saved_model.save(module, str(folder / "kinds" / version), signatures)
    config = folder / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "kinds" base_path: "{folder / "kinds"}" model_platform: "tensorflow" '
        "model_version_policy { specific { versions: 1 versions: 2 } } "
        'version_labels { key: "stable" value: 1 } } }'
    )
    labels = "--allow_version_labels_for_unavailable_models"
    with running_server(folder, f"--model_config_file={config}", labels) as running:
        await_versions(running, "kinds", 1, 2)
        yield running


def rows(seed: int = 0) -> dict[str, Any]:
    """Random bits of every type, NaN and infinity among them; floats whose bfloat16 is no NaN of its own."""
    random = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for kind in KINDS:
        dtype = np.dtype(kind)
        raw = random.integers(0, 256, (8, 3, dtype.itemsize), np.uint8)
        found[kind] = raw[..., 0] > 127 if kind == "bool" else raw.view(dtype)[..., 0]
    found["float32"] = np.array([[0.1, -np.inf, 3e38]] * 8, np.float32)
    found["float64"][0] = [np.nan, np.inf, -0.0]
    found["string"] = np.array([[b"", "ä".encode(), b"\0\xff"]] * 8, object)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_every_data_type_comes_back_equal_to_the_bit(kinds: Any, form: str) -> None:
    inputs = rows()
    with Client(kinds.grpc, "kinds") as wire, Client(v2(kinds, form), "kinds") as client:
        expected = wire.predict(inputs)
        found = client.predict(inputs)
        assert found.versions == expected.versions == (2,)
        assert set(found) == set(expected)
        for name, array in expected.items():
            assert found[name].dtype == array.dtype
            if array.dtype.kind == "O":
                assert found[name].tolist() == array.tolist()
            else:
                assert found[name].tobytes() == array.tobytes(), name
        some = client.predict(inputs, outputs=["same_int8", "same_bool"])
        assert set(some) == {"same_int8", "same_bool"}


@pytest.mark.parametrize("form", FORMS)
def test_versions_labels_and_signatures_are_those_of_the_wire(kinds: Any, form: str) -> None:
    with Client(kinds.grpc, "kinds") as wire, Client(v2(kinds, form), "kinds") as client:
        assert client.status() == wire.status()
        assert client.wait_ready(20, 1) == 1
        assert client.newest_available() == 2
        mine, theirs = (opened.metadata(version=1)["serving_default"] for opened in (client, wire))
        assert (mine.inputs, mine.outputs) == (theirs.inputs, theirs.outputs)
        for asked, version in (({"version": 1}, 1), ({"label": "stable"}, 1), ({}, 2)):
            answer = client.predict({"x": np.array([1, 2], np.float32)}, signature="double", **asked)
            assert (answer["y"].tolist(), answer.versions) == ([2.0, 4.0], (version,))
        with pytest.raises(ModelNotFound, match="9"):
            client.predict(rows(), version=9)
        with pytest.raises(InvalidRequest, match="nix"):
            client.predict({"x": [1.0]}, signature="nix")
        with pytest.raises(InputError, match="float32"):
            client.predict(rows() | {"int8": np.ones((8, 3), np.float32) / 2})
        assert client.version_of("stable") == wire.version_of("stable") == 1
        with pytest.raises(InvalidRequest, match="nix"):
            client.version_of("nix")


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_split_and_joined_as_over_the_wire(
    server: Any, client: Client, images: Any, form: str
) -> None:
    expected = client.predict(images)
    with Client(v2(server, form), "fashion") as opened:
        found = opened.predict(images)
    assert len(found.seconds) == len(expected.seconds) > 1
    for name, array in expected.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(found[name], array, atol=1e-6)
        else:
            np.testing.assert_array_equal(found[name], array)


def test_what_a_recorder_keeps_is_the_same(kinds: Any, tmp_path: Path) -> None:
    kept = []
    for place, target in (("wire", kinds.grpc), ("v2", v2(kinds, "grpc"))):
        with (
            Recorder(tmp_path / place, 1.0) as recorder,
            Client(target, "kinds", recorder=recorder) as client,
        ):
            client.predict(rows(), label="stable")
        kept += list(read(tmp_path / place, "kinds"))
    wire, mine = kept
    assert (
        (mine.version, mine.label, mine.signature)
        == (wire.version, wire.label, wire.signature)
        == (1, "stable", "serving_default")
    )
    for one, other in ((mine.inputs, wire.inputs), (mine.outputs, wire.outputs)):
        assert set(one) == set(other)
        for name, array in other.items():
            assert one[name].dtype == array.dtype
            assert (
                one[name].tobytes() == array.tobytes()
                if array.dtype.kind != "O"
                else one[name].tolist() == array.tolist()
            )


def test_evaluate_gives_the_same_numbers(server: Any, models: Path, data: Path, tmp_path: Path) -> None:
    reports = []
    for number, target in enumerate((server.grpc, v2(server, "grpc"), v2(server, "rest"))):
        done = command(
            "evaluate", "--json", "--target", target, "--models", models, "--data", data,
            "--reports", tmp_path / str(number),
        )  # fmt: skip
        report = json.loads(done.stdout)
        # The untrained model's card tells other metrics, which the exit code says.
        reports.append(
            {key: report[key] for key in ("metrics", "per_class", "confusion_matrix", "skew")}
            | {"exit": done.returncode}
        )
    assert reports[0] == reports[1] == reports[2]


def test_doctor_takes_both_protocols_of_one_port(server: Any) -> None:
    for target in (server.grpc, v2(server, "grpc"), v2(server, "rest")):
        done = command("doctor", "--json", "--target", target)
        assert done.returncode == 0, done.stdout
