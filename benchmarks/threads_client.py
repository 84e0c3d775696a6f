"""Requests of one image from 8 threads of one process, with the official stubs, with atelier-client, or bare.

python -m benchmarks.threads_client official|atelier|bare HOST:PORT
"""

import json
import sys
import threading
import time
from collections.abc import Callable

import numpy as np

THREADS, WARM_UP, SECONDS = 8, 1.0, 4.0
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


def atelier(target: str) -> Callable[[], object]:
    """The same through Client."""
    from atelier_client import Client

    client = Client(target, "fashion")
    return lambda: client.predict(IMAGE)


def bare(target: str) -> Callable[[], object]:
    """The same bytes through grpcio, made once, the answer left as it comes: what no client on grpcio can beat."""
    import grpc
    from atelier_client import Client
    from atelier_client.messages import model_spec, predict_requests
    from atelier_client.transport import PREDICT

    with Client(target, "fashion") as client:
        signature = client.metadata()["serving_default"]
    spec = model_spec("fashion", "serving_default")
    [request] = predict_requests(spec, signature, {"images": IMAGE}, (), None)
    message, call = request.SerializeToString(), grpc.insecure_channel(target).unary_unary(PREDICT.path)
    return lambda: call(message, timeout=10)


def main(which: str, target: str) -> None:
    """Print requests a second and CPU microseconds of this process a request, as JSON."""
    ask, stop = {"official": official, "atelier": atelier, "bare": bare}[which](target), threading.Event()
    counts = [0] * THREADS

    def work(number: int) -> None:
        while not stop.is_set():
            ask()
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    time.sleep(WARM_UP)
    before, started, cpu = sum(counts), time.perf_counter(), time.process_time()
    time.sleep(SECONDS)
    done, seconds, used = (
        sum(counts) - before,
        time.perf_counter() - started,
        time.process_time() - cpu,
    )
    stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"per_s": done / seconds, "cpu_us": used / done * 1e6}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
