"""The tutorial's own way, in today's spelling: pandas.read_csv, batches of 32, 10 epochs, evaluate.

python -m benchmarks.tutorial_script TRAIN.csv TEST.csv SEED [accuracy-each-epoch]

With the last word the test accuracy is measured after each epoch, for the time to a wanted accuracy.
"""

import json
import resource
import sys
import time

STARTED = time.time()

import keras  # noqa: E402
import pandas as pd  # noqa: E402


def main(train: str, test: str, seed: int, each_epoch: bool) -> None:
    """Print seconds of loading, test accuracy, when 0.88 was reached, and the peak memory in MB as JSON."""
    keras.utils.set_random_seed(seed)
    loading = time.time()
    data_train, data_test = pd.read_csv(train), pd.read_csv(test)
    loading = time.time() - loading
    x_train, y_train = data_train.iloc[:, 1:].values / 255.0, data_train.iloc[:, 0].values
    x_test, y_test = data_test.iloc[:, 1:].values / 255.0, data_test.iloc[:, 0].values

    model = keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    reached = None
    if each_epoch:
        for _ in range(10):
            model.fit(x_train, y_train, epochs=1, verbose=0)
            if model.evaluate(x_test, y_test, verbose=0)[1] >= 0.88:
                reached = time.time() - STARTED
                break
    else:
        model.fit(x_train, y_train, epochs=10, verbose=0)
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {"loading": loading, "accuracy": accuracy, "loss": loss, "reached": reached, "peak_mb": peak}
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), len(sys.argv) > 4)
