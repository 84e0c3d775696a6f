"""The gRPC load of the comparisons: serialized requests, each in flight sends the next on its answer.

python -m benchmarks.grpc_load HOST:PORT MODEL ROWS IN_FLIGHT SECONDS [CHANNELS] [predict or infer]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable

import grpc
import numpy as np
from atelier_client.protos import open_inference_pb2
from atelier_client.protos import serving_pb2 as pb

_PATHS = {
    "predict": "/tensorflow.serving.PredictionService/Predict",
    "infer": "/inference.GRPCInferenceService/ModelInfer",
}
# A channel is a connection of its own.
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]


def main(
    target: str,
    model: str,
    rows: str,
    in_flight: str,
    seconds: str,
    channels: str = "1",
    protocol: str = "predict",
) -> None:
    """Print {"per_second", "p50", "p99"} as JSON; latencies in milliseconds. Few in flight share one channel."""
    request, path = _request(model, int(rows), protocol), _PATHS[protocol]
    if int(in_flight) <= 4:
        latencies = _threads(target, path, request, int(in_flight), float(seconds))
    else:
        latencies = asyncio.run(
            _asyncio(target, path, request, int(in_flight), float(seconds), int(channels))
        )
    latencies.sort()
    result = {
        "per_second": len(latencies) / float(seconds),
        "p50": latencies[len(latencies) // 2] * 1e3,
        "p99": latencies[len(latencies) * 99 // 100] * 1e3,
    }
    print(json.dumps(result))


def _request(model: str, rows: int, protocol: str) -> bytes:
    images = np.random.default_rng(0).integers(0, 256, (rows, 28, 28), np.uint8)
    if protocol == "infer":
        message = open_inference_pb2.ModelInferRequest(
            model_name=model, raw_input_contents=[images.tobytes()]
        )
        message.inputs.add(name="images", datatype="UINT8", shape=images.shape)
        return message.SerializeToString()
    request = pb.PredictRequest()
    request.model_spec.name = model
    tensor = request.inputs["images"]
    tensor.dtype, tensor.tensor_content = 4, images.tobytes()
    for size in images.shape:
        tensor.tensor_shape.dim.add(size=size)
    return request.SerializeToString()


def _threads(target: str, path: str, request: bytes, in_flight: int, seconds: float) -> list[float]:
    """Few and in step: a thread each, which adds least to a latency."""
    latencies: list[float] = []
    with grpc.insecure_channel(target, options=_OPTIONS) as channel:
        call: Callable[[bytes], bytes] = channel.unary_unary(path)
        begin = time.perf_counter() + seconds / 5

        def send() -> None:
            while (sent := time.perf_counter()) < begin + seconds:
                call(request)
                if sent >= begin:
                    latencies.append(time.perf_counter() - sent)

        threads = [threading.Thread(target=send) for _ in range(in_flight)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return latencies


async def _asyncio(
    target: str, path: str, request: bytes, in_flight: int, seconds: float, channels: int
) -> list[float]:
    latencies: list[float] = []
    async with contextlib.AsyncExitStack() as stack:
        opened = [grpc.aio.insecure_channel(target, options=_OPTIONS) for _ in range(channels)]
        calls = [(await stack.enter_async_context(channel)).unary_unary(path) for channel in opened]
        begin = time.perf_counter() + seconds / 5

        async def send(call: Callable[[bytes], Awaitable[bytes]]) -> None:
            while (sent := time.perf_counter()) < begin + seconds:
                await call(request)
                if sent >= begin:
                    latencies.append(time.perf_counter() - sent)

        await asyncio.gather(*(send(calls[number % channels]) for number in range(in_flight)))
    return latencies


if __name__ == "__main__":
    main(*sys.argv[1:])
