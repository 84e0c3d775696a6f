"""Model repositories for tests, made by the real trainer code, without training or a data set.

`python -m tests.support.models FOLDER` writes FOLDER/fashion/1, which a real TensorFlow Serving can be given.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.support.idx_files import idx, split_examples

if TYPE_CHECKING:
    from atelier_trainer.data.dataset import DataSet
    from atelier_trainer.job import Job


def publish_untrained(models: Path, name: str = "fashion", seed: int = 0) -> Path:
    """Publish the dense classifier with the initial weights of `seed`; return the version's folder.

    It was tested on `split_examples()`.
    """
    from atelier_trainer.data.dataset import DataSet, Examples
    from atelier_trainer.data.fashion_mnist import CLASS_NAMES
    from atelier_trainer.job import Job

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
    return publish_with_initial_weights(job, models, data)


def publish_with_initial_weights(job: Job, models: Path, data: DataSet) -> Path:
    """Publish the job's model as it is before training: a version to try a server with, made in a second or two."""
    from atelier_trainer.publishing import version_folder
    from atelier_trainer.publishing.pipeline import list_model
    from atelier_trainer.publishing.staging import Staging
    from atelier_trainer.training.data_spec import Spec
    from atelier_trainer.training.encoding import encoding_for, vocabulary_of
    from atelier_trainer.training.fit import Fitted
    from atelier_trainer.training.network import build

    spec = Spec.of(data)
    words = vocabulary_of(data.test.inputs, job.network.vocabulary) if data.kind == "text" else None
    encoding = encoding_for(spec, job.network, words)
    fitted = Fitted(build(job, spec, encoding), encoding, spec, 0, 0)
    with Staging(models / job.model) as staging:
        card = version_folder.write(staging.folder, job, fitted, data, "untrained", None)
        version_folder.write_card(staging.folder, card)
        version = staging.publish()
    list_model(models, job.model, version)
    return version


if __name__ == "__main__":
    print(publish_untrained(Path(sys.argv[1])))
