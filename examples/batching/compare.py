"""Batching on the server: how many requests of one row it runs together.

    make up ENGINE=local                  # once: the model in models/, and .venv
    .venv/bin/atelier-serving --model_name=fashion --model_base_path=$PWD/models/fashion \\
        --port=9500 --rest_api_port=9501 --enable_batching \\
        --batching_parameters_file=examples/batching/batching.config &
    .venv/bin/python examples/batching/compare.py 127.0.0.1:9500 http://127.0.0.1:9501

It pays for models whose rows cost more than their requests; docs/client.md tells how to measure that (`bench --tune`).
"""

import re
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from atelier_client import Client

REQUESTS = 512
AT_A_TIME = 32


def counted(rest: str, name: str) -> float:
    """The value of one of the server's metrics, over all models; 0 where it has not counted anything yet."""
    with urllib.request.urlopen(f"{rest}/monitoring/prometheus/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE))


def main(target: str = "127.0.0.1:9500", rest: str = "http://127.0.0.1:9501") -> None:
    """Send single rows 32 at a time; print how large the batches were that they ran in."""
    images = np.random.default_rng(0).integers(0, 256, (REQUESTS, 1, 28, 28), np.uint8)
    with Client(target, "fashion") as client, ThreadPoolExecutor(AT_A_TIME) as threads:
        client.wait_ready(60)
        rows = counted(rest, "atelier_batch_rows_sum")
        requests = counted(rest, "atelier_batch_rows_count")
        answers = list(threads.map(client.predict, images))
        rows = counted(rest, "atelier_batch_rows_sum") - rows
        requests = counted(rest, "atelier_batch_rows_count") - requests
    if not requests:
        sys.exit("The server makes no batches: start it with --enable_batching.")
    # The metric is observed once a request, with the rows of the batch that the request ran in.
    print(
        f"{len(answers)} requests of one row; the mean request ran in a batch of {rows / requests:.1f} rows."
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
