"""The tutorial's own way, in today's spelling: pandas.read_csv, batches of 32, so many epochs, evaluate.

python -m benchmarks.tutorial_script TRAIN.csv TEST.csv SEED EPOCHS [ACCURACY]

With ACCURACY the model is evaluated after each epoch, and the script ends when it is as good as that.
"""

import json
import sys
import time

import keras
import pandas as pd


def main(train: str, test: str, seed: int, epochs: int, until: float | None) -> None:
    """Print seconds of loading, test accuracy and loss as JSON."""
    keras.utils.set_random_seed(seed)
    started = time.perf_counter()
    data_train, data_test = pd.read_csv(train), pd.read_csv(test)
    loading = time.perf_counter() - started
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
    if until is None:
        model.fit(x_train, y_train, epochs=epochs, verbose=0)
        loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    else:
        for _ in range(epochs):
            model.fit(x_train, y_train, epochs=1, verbose=0)
            loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
            if accuracy >= until:
                break
    print(json.dumps({"loading": loading, "accuracy": accuracy, "loss": loss}))


if __name__ == "__main__":
    main(
        *sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]) if len(sys.argv) > 5 else None
    )
