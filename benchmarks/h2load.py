"""Load from a compiled client, nghttp2's h2load: so that the client is not what is measured."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.server import Server

MISSING = "not measured: h2load is missing (Debian: nghttp2-client)"
_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_OK = re.compile(
    r'^:tensorflow:serving:request_count\{model_name="fashion",status="OK"\} (\S+)$', re.MULTILINE
)


@dataclass(frozen=True)
class Load:
    """Requests per second, and the milliseconds of a request in the middle and at the 99th percentile."""

    per_second: float
    p50: float
    p99: float


def installed() -> bool:
    """Whether this machine has h2load."""
    return shutil.which("h2load") is not None


def grpc_body(folder: Path, rows: int) -> Path:
    """Write a gRPC message with a PredictRequest for uint8 images [N,28,28]."""
    from tensorflow.core.framework import types_pb2
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "fashion"
    request.output_filter.append("probabilities")
    tensor = request.inputs["images"]
    tensor.dtype = types_pb2.DT_UINT8
    for size in (rows, 28, 28):
        tensor.tensor_shape.dim.add(size=size)
    images = np.random.default_rng(0).integers(0, 256, (rows, 28, 28))
    tensor.tensor_content = images.astype(np.uint8).tobytes()
    message = request.SerializeToString()
    path = folder / f"{rows}.grpc"
    path.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    return path


def grpc(server: Server, body: Path, connections: int, streams: int, seconds: int = 4) -> Load:
    """Predict over gRPC. Raises `RuntimeError` when requests fail, which no HTTP status shows."""
    before = _answered(server)
    headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    load = _run(f"http://{server.grpc}{_PREDICT}", body, connections, streams, seconds, headers)
    if _answered(server) - before < load.per_second * seconds * 0.9:
        raise RuntimeError("h2load: most requests were not answered with OK")
    return load


def http(url: str, body: Path, connections: int, seconds: int = 4) -> Load:
    """POST a JSON document over HTTP/1.1."""
    return _run(url, body, connections, 1, seconds, ["--h1", "-H", "content-type: application/json"])


def _run(url: str, body: Path, connections: int, streams: int, seconds: int, more: list[str]) -> Load:
    with tempfile.NamedTemporaryFile(prefix="h2load-") as log:
        counts = ["-c", str(connections), "-m", str(streams), "-t", "1"]
        when = ["-D", str(seconds), "--warm-up-time", "1"]
        command = ["h2load", *counts, *when, "-d", str(body), f"--log-file={log.name}", *more, url]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        columns = np.loadtxt(log.name, np.int64, ndmin=2)
    if found := re.search(r" ([1-9]\d*) (?:failed|errored|timeout)", done.stdout):
        raise RuntimeError(f"h2load: {found.group()} of the requests to {url}\n{done.stdout}")
    if (columns[:, 1] != 200).any():
        raise RuntimeError(f"h2load: answers of {url} have the statuses {set(columns[:, 1].tolist())}")
    p50, p99 = np.percentile(columns[:, 2] / 1000, [50, 99])
    return Load(len(columns) / seconds, float(p50), float(p99))


def _answered(server: Server) -> float:
    with urllib.request.urlopen(f"{server.rest}/monitoring/prometheus/metrics", timeout=20) as page:
        found = _OK.search(page.read().decode())
    return float(found.group(1)) if found else 0.0
