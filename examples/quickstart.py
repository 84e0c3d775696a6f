"""Ask a served model for labels: the shortest useful program.

make up                                  # serves fashion on 127.0.0.1:8500
make venv                                # .venv with the client; ENGINE=compose alone needs none
.venv/bin/python examples/quickstart.py

.venv/bin/python examples/quickstart.py 127.0.0.1:8500 FOLDER/t10k-images-idx3-ubyte    # the first five of a file
"""

import sys

import numpy as np
from atelier_client import Client, ClientError
from numpy.typing import NDArray


def drawings() -> NDArray[np.uint8]:
    """Three pictures [3,28,28] of bright rectangles on black: trousers, a bag, a T-shirt."""
    images = np.zeros((3, 28, 28), np.uint8)
    trousers, bag, shirt = images
    trousers[2:26, 9:19] = 200
    trousers[7:26, 13:15] = 0  # between the legs
    bag[5:26, 8:20] = 180
    bag[7:12, 10:18] = 0  # inside of the handle
    bag[12:26, 3:25] = 180
    shirt[4:26, 8:20] = 180
    shirt[4:11, 2:26] = 180  # sleeves
    return images


def read(file: str) -> NDArray[np.uint8]:
    """The first five images [5,28,28] of an IDX file: a header of 16 bytes and then the pixels."""
    return np.fromfile(file, np.uint8, offset=16).reshape(-1, 28, 28)[:5]


def main(target: str = "127.0.0.1:8500", file: str = "") -> None:
    """Print what the model makes of some images."""
    with Client(target, "fashion") as client:
        answer = client.predict(read(file) if file else drawings())
    for label, probabilities in zip(answer["label"], answer["probabilities"], strict=True):
        print(f"{label.decode():12} {probabilities.max():.1%}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ClientError as error:
        sys.exit(f"{error}")
