"""Requests of one image from one process: the official stubs, atelier-client's two clients, or grpcio alone.

python -m benchmarks.one_process official|blocking|asyncio|bare HOST:PORT IN_FLIGHT
"""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable

import numpy as np

WARM_UP, SECONDS = 1.0, 4.0
IMAGE = np.zeros((1, 28, 28), np.uint8)


def official(target: str) -> Callable[[], object]:
    """The stubs with TensorFlow's own conversions, as in TensorFlow Serving's examples."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(target))

    def ask() -> object:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "fashion"
        request.inputs["images"].CopyFrom(tf.make_tensor_proto(IMAGE))
        answer = stub.Predict(request, timeout=10)
        return {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}

    return ask


def blocking(target: str) -> Callable[[], object]:
    """The same through Client."""
    from atelier_client import Client

    client = Client(target, "fashion")
    return lambda: client.predict(IMAGE)


def bare(target: str) -> Callable[[], object]:
    """The same bytes through grpcio, made once, the answer left as it comes: what no client on grpcio can beat."""
    import grpc
    from atelier_client import Client
    from atelier_client.messages.requests import predict_frame, predict_requests
    from atelier_client.transports.base import PREDICT

    with Client(target, "fashion") as client:
        signature = client.metadata()["serving_default"]
    frame = predict_frame("fashion", "serving_default", None, None, ())
    [request] = predict_requests(frame, signature, {"images": IMAGE}, None)
    message, call = request(), grpc.insecure_channel(target).unary_unary(PREDICT.path)
    return lambda: call(message, timeout=10)


class Count:
    """Answers since the warm-up, and what they took."""

    def __init__(self, in_flight: int) -> None:
        self.answers = [0] * in_flight

    def begin(self) -> None:
        """The warm-up is over."""
        self._before, self._started, self._cpu = sum(self.answers), time.perf_counter(), time.process_time()

    def end(self) -> dict[str, float]:
        """Requests a second, and CPU microseconds of this process a request."""
        done, seconds = sum(self.answers) - self._before, time.perf_counter() - self._started
        return {"per_s": done / seconds, "cpu_us": (time.process_time() - self._cpu) / done * 1e6}


def in_threads(ask: Callable[[], object], in_flight: int) -> dict[str, float]:
    """So many threads, each asking again as soon as it has its answer."""
    count, stop = Count(in_flight), threading.Event()

    def work(number: int) -> None:
        while not stop.is_set():
            ask()
            count.answers[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(in_flight)]
    for thread in threads:
        thread.start()
    time.sleep(WARM_UP)
    count.begin()
    time.sleep(SECONDS)
    measured = count.end()
    stop.set()
    for thread in threads:
        thread.join()
    return measured


async def in_tasks(target: str, in_flight: int) -> dict[str, float]:
    """The same through AsyncClient, with so many tasks."""
    from atelier_client import AsyncClient

    count = Count(in_flight)
    async with AsyncClient(target, "fashion") as client:

        async def work(number: int) -> None:
            while True:
                await client.predict(IMAGE)
                count.answers[number] += 1

        tasks = [asyncio.ensure_future(work(number)) for number in range(in_flight)]
        await asyncio.sleep(WARM_UP)
        count.begin()
        await asyncio.sleep(SECONDS)
        measured = count.end()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return measured


def main(which: str, target: str, in_flight: int) -> None:
    """Print what was measured as JSON."""
    if which == "asyncio":
        measured = asyncio.run(in_tasks(target, in_flight))
    else:
        ask = {"official": official, "blocking": blocking, "bare": bare}[which](target)
        measured = in_threads(ask, in_flight)
    print(json.dumps(measured))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
