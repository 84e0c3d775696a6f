"""Mixed load over swaps: no failed request and flat memory. Ten seconds here; `make soak` runs it for half an hour."""

import json
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tests.support.peer import ONCE, Peer
from tests.support.server import RunningServer, running_server
from tests.support.toy_models import save_toy

# Of the resident memory, after its first minutes.
_GROWTH = 1.10


@pytest.mark.parametrize(
    ("seconds", "swap_every"),
    [(10, 3), pytest.param(1800, 20, marks=[pytest.mark.soak, pytest.mark.timeout(2100)])],
)
def test_nothing_fails_and_memory_is_flat_while_versions_are_swapped(
    tmp_path: Path, seconds: float, swap_every: float
) -> None:
    folder = save_toy(tmp_path, version=1, factor=1.0)
    with running_server(tmp_path, *ONCE, "--enable_batching", model="toy") as server:
        peer = Peer(server, tmp_path, "toy")
        stop = threading.Event()
        failures: list[tuple[str, str]] = []
        memory: list[tuple[float, int]] = []
        done: Counter[str] = Counter()

        def repeat(name: str, once: Callable[[], object]) -> None:
            while not stop.is_set():
                try:
                    once()
                    done[name] += 1
                except Exception as error:
                    failures.append((name, repr(error)[:300]))

        threads = [
            threading.Thread(target=repeat, args=work)
            for work in (
                ("one", lambda: _predict(peer, 1)),
                ("one too", lambda: _predict(peer, 1)),
                ("many", lambda: _predict(peer, 700)),
                ("rest", lambda: _rest(server, [1.0] * 5)),
                ("wrong", lambda: _wrong(peer)),
                ("status", lambda: peer.states()),
                ("metrics", lambda: _get(server, "/monitoring/prometheus/metrics")),
                ("ready", lambda: _get(server, "/readyz")),
            )
        ]
        for thread in threads:
            thread.start()
        started, version = time.monotonic(), 1
        try:
            while (passed := time.monotonic() - started) < seconds:
                time.sleep(min(swap_every, seconds - passed))
                version += 1
                folder = save_toy(tmp_path, version=version, factor=float(version))
                peer.wait(lambda: peer.scale()[1] == version)  # noqa: B023 - called before the next round
                memory.append((time.monotonic() - started, server.resident()))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        peer.channel.close()
    assert folder.exists()
    assert failures == []
    assert set(done) == {"one", "one too", "many", "rest", "wrong", "status", "metrics", "ready"}
    print(
        f"{sum(done.values())} requests, {version - 1} swaps, memory {[f'{m / 1e6:.0f}' for _, m in memory][::5]} MB"
    )
    if seconds > 600:
        settled = [size for at, size in memory if at > 300]
        assert max(settled) < _GROWTH * settled[0]


def _predict(peer: Peer, rows: int) -> None:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "toy"
    message.inputs["x"].CopyFrom(tf.make_tensor_proto(np.arange(rows, dtype=np.float32)))
    answer = peer.prediction.Predict(message, timeout=20)
    expected = np.arange(rows, dtype=np.float32) * answer.model_spec.version.value
    np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["y"]), expected)


def _wrong(peer: Peer) -> None:
    """A wrong request is refused, each time with the same status."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "toy"
    message.inputs["x"].CopyFrom(tf.make_tensor_proto(np.zeros(3, np.int64)))
    with pytest.raises(grpc.RpcError) as raised:
        peer.prediction.Predict(message, timeout=20)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def _rest(server: RunningServer, values: list[float]) -> None:
    body = json.dumps({"instances": values}).encode()
    with urllib.request.urlopen(f"{server.rest}/v1/models/toy:predict", body, timeout=20) as answer:
        assert len(json.load(answer)["predictions"]) == len(values)


def _get(server: RunningServer, path: str) -> None:
    with urllib.request.urlopen(server.rest + path, timeout=20) as answer:
        assert answer.read()
