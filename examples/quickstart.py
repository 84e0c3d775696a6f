"""Ask a served model for labels: the shortest useful program.

make up                                  # serves fashion on 127.0.0.1:8500, leaves the test images in data/
.venv/bin/python examples/quickstart.py

.venv/bin/python examples/quickstart.py 127.0.0.1:8500 data/fashion-mnist/t10k-images-idx3-ubyte
"""

import sys

import numpy as np
from atelier_client import Client, ClientError


def main(target: str = "127.0.0.1:8500", images: str = "data/fashion-mnist/t10k-images-idx3-ubyte") -> None:
    """Print what the model makes of the first five images."""
    # An IDX file is a header of 16 bytes and then the pixels.
    pixels = np.fromfile(images, np.uint8, offset=16).reshape(-1, 28, 28)
    with Client(target, "fashion") as client:
        answer = client.predict(pixels[:5])
    for label, probabilities in zip(answer["label"], answer["probabilities"], strict=True):
        print(f"{label.decode():12} {probabilities.max():.1%}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ClientError as error:
        sys.exit(f"{error}")
