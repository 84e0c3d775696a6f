"""The lifecycle, on real processes: swaps, broken versions, labels, reloads, draining."""

import shutil
import signal
import socket
import subprocess
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.serving.test_flags import COMMAND
from tests.support.models import publish_untrained
from tests.support.server import free_port, running_server
from tests.support.toy_models import save_toy

FAST = (
    "--file_system_poll_wait_seconds=0.1",
    "--max_num_load_retries=0",
    "--load_retry_interval_micros=100000",
)


class Peer:
    """The official stubs on one server."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.insecure_channel(target)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def scale(self, name="toy", version=None, label=None, timeout=10) -> tuple[float, int]:
        """(answer for 1.0, version that gave it)"""
        message = predict_pb2.PredictRequest()
        message.model_spec.name = name
        if version:
            message.model_spec.version.value = version
        if label:
            message.model_spec.version_label = label
        message.inputs["x"].CopyFrom(tf.make_tensor_proto(np.ones(1, np.float32)))
        answer = self.prediction.Predict(message, timeout=timeout)
        return float(tf.make_ndarray(answer.outputs["y"])[0]), answer.model_spec.version.value

    def states(self, name="toy") -> dict[int, tuple[int, str]]:
        """Version to (state, error)."""
        message = get_model_status_pb2.GetModelStatusRequest()
        message.model_spec.name = name
        answer = self.models.GetModelStatus(message, timeout=10)
        return {e.version: (e.state, e.status.error_message) for e in answer.model_version_status}

    def reload(self, text: str) -> None:
        message = model_management_pb2.ReloadConfigRequest()
        text_format.Parse(text, message.config)
        self.models.HandleReloadConfigRequest(message, timeout=20)

    def wait(self, condition, seconds=15):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.states()
            time.sleep(0.02)


@pytest.fixture
def models(tmp_path):
    save_toy(tmp_path, version=1, factor=1.0)
    return tmp_path


@pytest.fixture
def peer(models):
    with running_server(models, *FAST, model="toy") as server:
        opened = Peer(server.grpc)
        opened.server = server
        yield opened
        opened.channel.close()


def test_versions_come_and_go_without_a_failed_request(models, peer):
    """Load from four threads over several swaps: every answer is right for the version that gave it."""
    failures, answers, stop = [], [], threading.Event()

    def load():
        while not stop.is_set():
            try:
                value, version = peer.scale()
                answers.append(version)
                if value != float(version):
                    failures.append((value, version))
            except grpc.RpcError as error:
                failures.append(error.details())

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for version in (2, 3, 4):
            save_toy(models, version=version, factor=float(version))
            peer.wait(lambda: peer.scale()[1] == version)  # noqa: B023 - called before the next round
            peer.wait(lambda: peer.states()[version - 1][0] == 50)  # noqa: B023
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert len(answers) > 100

    shutil.rmtree(models / "toy" / "4")
    save_toy(models, version=5, factor=5.0)
    peer.wait(lambda: peer.scale()[1] == 5)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (
            lambda folder: (folder / "saved_model.pb").unlink(),
            "does not appear to contain a SavedModel bundle",
        ),
        (lambda folder: (folder / "saved_model.pb").write_bytes(b""), "Could not find meta graph def"),
        (lambda folder: shutil.rmtree(folder / "variables"), "is missing, but the graph has variables"),
        (lambda folder: next((folder / "variables").glob("*.data*")).unlink(), "No such file or directory"),
        (lambda folder: (folder / "variables" / "variables.index").write_bytes(b"x"), "sstable"),
        (
            lambda folder: _write_warmup(folder, b"no record" * 9),
            "Please verify your warmup data is in TFRecord format",
        ),
    ],
    ids=["no pb", "empty pb", "no variables", "no data", "bad index", "bad warm-up"],
)
def test_a_broken_version_ends_with_its_error_and_disturbs_nothing(models, peer, damage, error):
    folder = save_toy(models, version=2, factor=2.0)
    staging = folder.rename(models / "toy" / ".staging")
    # The server may have loaded it meanwhile: the broken one gets a number of its own.
    damage(staging)
    staging.rename(models / "toy" / "3")
    peer.wait(lambda: peer.states().get(3, (0, ""))[0] == 50)
    assert error in peer.states()[3][1]
    assert peer.scale()[0] in (1.0, 2.0)
    save_toy(models, version=4, factor=4.0)
    peer.wait(lambda: peer.scale() == (4.0, 4))


def _write_warmup(folder, content):
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "tf_serving_warmup_requests").write_bytes(content)


def test_a_staging_folder_is_invisible(models, peer):
    staging = save_toy(models, version=2).rename(models / "toy" / ".staging-x")
    time.sleep(0.5)
    assert staging.exists()
    assert peer.scale()[1] in (1, 2)
    assert set(peer.states()) <= {1, 2}


def test_the_published_models_warm_up_file_is_replayed(tmp_path):
    publish_untrained(tmp_path)
    with running_server(tmp_path, *FAST) as server:
        log = server.log_text()
    assert "AVAILABLE" in log
    assert "WARNING" not in log
    assert "cudart" not in log


def test_labels_and_policies_follow_reloads(models, peer):
    save_toy(models, version=2, factor=2.0)
    entry = f'name: "toy" base_path: "{models}/toy" model_platform: "tensorflow"'
    both = "model_version_policy { specific { versions: 1 versions: 2 } }"
    label = 'version_labels {{ key: "stable" value: {0} }}'

    def config(*extra):
        return f"model_config_list {{ config {{ {entry} {' '.join(extra)} }} }}"

    with pytest.raises(grpc.RpcError, match="assign label to version 7"):
        peer.reload(config(both, label.format(7)))
    peer.reload(config(both))
    peer.wait(lambda: {v: s for v, (s, _) in peer.states().items()} == {1: 30, 2: 30})
    peer.reload(config(both, label.format(1)))
    assert peer.scale(label="stable") == (1.0, 1)
    assert peer.scale() == (2.0, 2)
    peer.reload(config(both, label.format(2)))
    assert peer.scale(label="stable") == (2.0, 2)
    peer.reload("model_config_list {}")
    with pytest.raises(grpc.RpcError, match="Servable not found for request"):
        peer.scale()


def test_a_reload_adds_a_model_and_reports_one_that_does_not_load(models, peer):
    save_toy(models, name="second", factor=3.0)
    broken = save_toy(models, name="broken")
    (broken / "saved_model.pb").write_bytes(b"")
    first = f'config {{ name: "toy" base_path: "{models}/toy" model_platform: "tensorflow" }}'
    second = first.replace("toy", "second")
    peer.reload(f"model_config_list {{ {first} {second} }}")
    assert peer.scale("second") == (3.0, 1)
    with pytest.raises(
        grpc.RpcError, match=r"1 model\(s\) did not become available: \{\{\{name: broken version: 1\}"
    ):
        peer.reload(f"model_config_list {{ {first} {second} {first.replace('toy', 'broken')} }}")
    assert peer.scale("second") == (3.0, 1)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            'config { name: "m" base_path: "rel" model_platform: "tensorflow" }',
            "to have an absolute path or URI",
        ),
        ('config { name: "m" base_path: "/m" }', "neither ModelServerConfig::model_type"),
        ('config { name: "m" base_path: "/m" model_platform: "onnx" }', "requests unsupported platform onnx"),
        (
            'config { name: "m" base_path: "/m" model_platform: "tensorflow" } '
            'config { name: "m" base_path: "/m" model_platform: "tensorflow" }',
            "Illegal to list model m multiple times",
        ),
    ],
)
def test_a_wrong_reload_is_refused_and_changes_nothing(peer, text, error):
    with pytest.raises(grpc.RpcError, match=error):
        peer.reload(f"model_config_list {{ {text} }}")
    assert peer.scale() == (1.0, 1)


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_requests_in_flight(peer, which):
    results, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            try:
                results.append(peer.scale()[0])
            except grpc.RpcError as error:
                results.append(error.code())
                return

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    peer.server.process.send_signal(which)
    assert peer.server.process.wait(timeout=15) == 0
    stop.set()
    for thread in threads:
        thread.join()
    # Answers until the signal, then a clean refusal: nothing accepted was dropped with another status.
    assert set(results) <= {1.0, grpc.StatusCode.UNAVAILABLE}
    assert results.count(1.0) > 10


def test_a_taken_port_is_named(models):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for flags in ([f"--port={port}"], [f"--port={free_port()}", f"--rest_api_port={port}"]):
            command = [COMMAND, "--host=127.0.0.1", f"--model_base_path={models}/toy", *flags]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 255
            assert f"port {port} on 127.0.0.1 cannot be bound" in done.stdout


def test_a_model_that_cannot_load_ends_the_start_with_255(models):
    (models / "toy" / "1" / "saved_model.pb").write_bytes(b"")
    command = [COMMAND, "--host=127.0.0.1", f"--model_base_path={models}/toy", f"--port={free_port()}", *FAST]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 255
    assert "did not become available" in done.stdout
