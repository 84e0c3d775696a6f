"""The fuzz run, short in the normal tests; `make soak` sends ATELIER_FUZZ_REQUESTS (100,000) more."""

import os
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tests.soak.fuzz import fuzz
from tests.support.conformance_model import save_config, save_conformance_model
from tests.support.server import running_server
from tests.support.wire import X, ask, predict_request

SHORT = 3000
# Of 4 kB pages; after the first tenth of a run the server has what it needs.
MAX_GROWTH_MB = 64


@pytest.fixture
def models(tmp_path):
    save_conformance_model(tmp_path)
    return tmp_path


def resident_mb(pid: int) -> float:
    """Resident memory of a process; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20
    except OSError:
        return 0.0


def run(models, numbers, warm):
    flags = ("--allow_version_labels_for_unavailable_models", "--max_num_load_retries=0")
    with running_server(models, f"--model_config_file={save_config(models)}", *flags, model="toy") as server:
        first = fuzz(server, models, range(-warm, 0))
        before = resident_mb(server.process.pid)
        findings = fuzz(server, models, numbers)
        after = resident_mb(server.process.pid)
        print(f"{before:.0f} MB before, {after:.0f} MB after; {dict(findings.statuses)}")
        failures = first.failures + findings.failures
        assert failures == [], f"{len(failures)} failures, the first ones:\n" + "\n".join(failures[:5])
        # It has seen good and bad, and still answers as before.
        assert {"OK", "INVALID_ARGUMENT", "200", "400"} <= set(findings.statuses)
        assert server.process.poll() is None
        assert "Traceback" not in server.log_text()
        with grpc.insecure_channel(server.grpc) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            answer = stub.Predict(predict_request(x=X), timeout=10)
            np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["y"]), X * 2)
        assert ask(server, "/v1/models/toy:predict", {"instances": [1]}) == (200, {"predictions": [2.0]})
        return after - before


def test_mutated_requests_get_statuses_of_the_protocol(models):
    run(models, range(SHORT), warm=0)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_mutated_requests_crash_hang_and_leak_nothing(models):
    total = int(os.environ.get("ATELIER_FUZZ_REQUESTS", "100000"))
    growth = run(models, range(SHORT, SHORT + total), warm=total // 10)
    assert growth < MAX_GROWTH_MB
