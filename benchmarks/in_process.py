"""The rate of a SavedModel without any wire: its serving_default called with all test images, in this process.

python -m benchmarks.in_process MODEL_VERSION_DIR DATA_FOLDER
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

# Images a call; the best of them counts.
BATCHES = (510, 2500, 10_000)
ROUNDS = 9


def main(version: Path, data: Path) -> None:
    """Print the best images per second as JSON, the median of the rounds of each batch size."""
    raw = (data / "fashion-mnist" / "t10k-images-idx3-ubyte").read_bytes()
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)
    predict = tf.saved_model.load(str(version)).signatures["serving_default"]
    rates = {}
    for batch in BATCHES:
        seconds = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            for first in range(0, len(images), batch):
                predict(images=tf.constant(images[first : first + batch]))["probabilities"].numpy()
            seconds.append(time.perf_counter() - started)
        # The first rounds still compile and warm up.
        rates[batch] = len(images) / float(np.median(seconds[2:]))
    print(json.dumps(rates))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
