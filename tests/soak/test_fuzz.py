"""The fuzz run, short in the normal tests; `make soak` sends ATELIER_FUZZ_REQUESTS (100,000) more."""

import os
from collections import Counter
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tests.soak.fuzz import fuzz
from tests.support.conformance_model import save_config, save_conformance_model
from tests.support.http import get
from tests.support.open_inference import call, infer_message, outputs_of
from tests.support.peer import ONCE, Peer
from tests.support.server import running_server
from tests.support.wire import X, ask, predict_request

SHORT = 3000
# After a warm-up of a tenth of the run the server has what it needs.
MAX_GROWTH_MB = 64
MAX_LATE_GROWTH_MB = 16
PARTS = 10


@pytest.fixture
def models(tmp_path: Path) -> Path:
    save_conformance_model(tmp_path)
    return tmp_path


def run(models: Path, numbers: range, warm: int) -> list[float]:
    """Resident memory in MB after the warm-up and after each of PARTS parts of the run."""
    flags = ("--allow_version_labels_for_unavailable_models", *ONCE)
    with running_server(models, f"--model_config_file={save_config(models)}", *flags, model="toy") as server:
        first = fuzz(server, models, range(-warm, 0))
        sizes, failures = [server.resident() / 2**20], first.failures
        statuses: Counter[str] = Counter()
        for part in range(PARTS):
            findings = fuzz(server, models, numbers[part::PARTS])
            sizes.append(server.resident() / 2**20)
            statuses += findings.statuses
            failures += findings.failures
        print(f"memory {[round(size) for size in sizes]} MB; {dict(statuses)}")
        assert failures == [], f"{len(failures)} failures, the first ones:\n" + "\n".join(failures[:5])
        # It has seen good and bad, and still answers as before.
        assert {"OK", "INVALID_ARGUMENT", "200", "400", "v2 200", "v2 400"} <= set(statuses)
        assert server.process.poll() is None
        assert "Traceback" not in server.log_text()
        # A version that a mutated configuration has unloaded comes back with a look at the disk.
        Peer(server, models, "toy").wait(lambda: get(server, "/v2/models/toy/ready")[0] == 200)
        with grpc.insecure_channel(server.grpc) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            answer = stub.Predict(predict_request(x=X), timeout=10)
            np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["y"]), X * 2)
            message = infer_message({"x": X}, raw=True)
            np.testing.assert_array_equal(outputs_of(call(channel, "ModelInfer", message))["y"], X * 2)
        assert ask(server, "/v1/models/toy:predict", {"instances": [1]}) == (200, {"predictions": [2.0]})
        return sizes


def test_mutated_requests_get_statuses_of_the_protocol(models: Path) -> None:
    run(models, range(SHORT), warm=0)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_mutated_requests_crash_hang_and_leak_nothing(models: Path) -> None:
    total = int(os.environ.get("ATELIER_FUZZ_REQUESTS", "100000"))
    sizes = run(models, range(SHORT, SHORT + total), warm=total // 10)
    assert sizes[-1] - sizes[0] < MAX_GROWTH_MB
    assert sizes[-1] - sizes[PARTS // 2] < MAX_LATE_GROWTH_MB
