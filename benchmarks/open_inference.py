"""The Open Inference Protocol beside TensorFlow Serving's wire on one server, in turns."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.row import BIN, Row, run
from benchmarks.served import Served

_ROUNDS = 5
_SECONDS = "4"
_IMAGES = 64
_IN_FLIGHT = 4
_PYTHON = BIN / "python"


def measure(served: Served) -> Iterator[Row]:
    """Every row."""
    yield _calls(served, 1, 64)
    yield _calls(served, 512, 4)
    yield _forms(served)


def _calls(served: Served, rows: int, in_flight: int) -> Row:
    def rate(protocol: str) -> float:
        counts = (str(rows), str(in_flight), _SECONDS, "1", protocol)
        done = run([_PYTHON, "-m", "benchmarks.grpc_load", served.server.grpc, "fashion", *counts])
        return float(json.loads(done.stdout)["per_second"])

    rounds = [(rate("infer"), rate("predict")) for _ in range(_ROUNDS)]
    ratio = statistics.median(infer / predict for infer, predict in rounds)
    numbers = "; ".join(f"{statistics.median(rates):,.0f}" for rates in zip(*rounds, strict=True))
    return Row(
        f"gRPC, uint8 batches of {rows}, {in_flight} in flight: requests a second of raw ModelInfer; of Predict; ratio",
        f"{numbers}; {ratio:.2f}",
        "at least 0.9",
        ratio >= 0.9,
    )


def _forms(served: Served) -> Row:
    """The same images in three forms over HTTP."""
    images = np.random.default_rng(0).integers(0, 256, (_IMAGES, 28, 28), np.uint8)
    tensor = {"name": "images", "datatype": "UINT8", "shape": images.shape}
    head = json.dumps(
        {
            "inputs": [{**tensor, "parameters": {"binary_data_size": images.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    nested = images.tolist()
    infer = "/v2/models/fashion/infer"
    with tempfile.TemporaryDirectory() as folder:
        binary, document, rows = (Path(folder, name) for name in ("binary", "json", "rows"))
        binary.write_bytes(head + images.tobytes())
        document.write_text(json.dumps({"inputs": [{**tensor, "data": images.ravel().tolist()}]}))
        rows.write_text(json.dumps({"instances": nested}))
        ways: list[tuple[str, Path, Sequence[str]]] = [
            (infer, binary, [f"Inference-Header-Content-Length: {len(head)}"]),
            (infer, document, []),
            ("/v1/models/fashion:predict", rows, []),
        ]
        rounds = [[_images_per_second(served, *way) for way in ways] for _ in range(_ROUNDS)]
    ratio = statistics.median(rates[0] / rates[1] for rates in rounds)
    numbers = "; ".join(f"{statistics.median(rates):,.0f}" for rates in zip(*rounds, strict=True))
    return Row(
        f"HTTP, {_IMAGES} uint8 images a request, {_IN_FLIGHT} in flight: images per second as binary tensors; "
        "as JSON; as TensorFlow Serving's JSON; ratio of the first two",
        f"{numbers}; {ratio:.1f} times",
        "at least 5 times",
        ratio >= 5,
    )


def _images_per_second(served: Served, path: str, body: Path, headers: Sequence[str]) -> float:
    target = served.server.rest.removeprefix("http://")
    counts = (str(_IN_FLIGHT), _SECONDS)
    done = run([_PYTHON, "-m", "benchmarks.http_load", target, path, body, *counts, *headers])
    result = json.loads(done.stdout)
    if result["failed"]:
        raise RuntimeError(f"{path}: {result['failed']:.0f} requests failed")
    return float(_IMAGES * result["per_second"])
