"""Model repositories for tests, made by the real trainer code, without training or a data set.

`python -m tests.support.models FOLDER` writes FOLDER/fashion/1, which a real TensorFlow Serving can be given.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

from tests.support.idx_files import idx, split_examples


def publish_untrained(models: Path, name: str = "fashion", seed: int = 0) -> Path:
    """Publish the dense classifier with the initial weights of `seed`; return the version's folder.

    It was tested on `split_examples()`.
    """
    from atelier_trainer.data.dataset import DataSet, Examples
    from atelier_trainer.data.fashion_mnist import CLASS_NAMES
    from atelier_trainer.job import Job
    from atelier_trainer.publishing.pipeline import publish_untrained as publish

    job = Job.model_validate(
        {
            "name": f"untrained-{seed}",
            "model": name,
            "data": "fashion-mnist",
            "network": {"hidden": [128]},
            "fit": {"batch_size": 1, "epochs": 1, "seed": seed},
        }
    )
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, [64, 28, 28], np.uint8)
    examples = Examples(images, random.integers(0, 10, [64]), "0" * 64)
    test_images, test_labels = split_examples()
    digest = hashlib.sha256(idx(test_images) + idx(test_labels)).hexdigest()
    data = DataSet(
        name="fashion-mnist",
        kind="image",
        class_names=CLASS_NAMES,
        shape=(28, 28),
        train=examples,
        test=Examples(test_images, test_labels.astype(np.int64), digest),
        test_file={"format": "idx", "path": "fashion-mnist"},
    )
    return publish(job, models, data)


if __name__ == "__main__":
    print(publish_untrained(Path(sys.argv[1])))
