"""The rate of a SavedModel without a server: TensorFlow's session callable, called from threads.

python -m benchmarks.session_rate VERSION_FOLDER ROWS THREADS SECONDS
"""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2


def main(folder: str, rows: str, threads: str, seconds: str) -> None:
    """Print the images per second."""
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph)
    with graph.as_default():
        signature = tf.compat.v1.saved_model.load(session, ["serve"], folder).signature_def["serving_default"]
    feeds = [info.name for info in signature.inputs.values()]
    fetches = [info.name for info in signature.outputs.values()]
    call = session._make_callable_from_options(config_pb2.CallableOptions(feed=feeds, fetch=fetches))
    images = np.random.default_rng(0).integers(0, 256, (int(rows), 28, 28), np.uint8)
    call(images)
    counts, end = [0] * int(threads), time.perf_counter() + float(seconds)

    def work(index: int) -> None:
        while time.perf_counter() < end:
            call(images)
            counts[index] += 1

    workers = [threading.Thread(target=work, args=(index,)) for index in range(int(threads))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(sum(counts) * int(rows) / float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
