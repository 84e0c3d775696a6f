"""From a job to a published version: data, fit, export, check, publish."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from atelier_trainer import dataset
from atelier_trainer.errors import PublishError
from atelier_trainer.job import Job
from atelier_trainer.publish import Staging, explain_write_failure, versions

CARD = Path("assets.extra", "model_card.json")


def up_to_date(job: Job, models: Path) -> dict[str, Any] | None:
    """The result for the newest version when this very job made it, else None. Needs no TensorFlow."""
    numbers = versions(models / job.model)
    if not numbers:
        return None
    folder = models / job.model / str(numbers[-1])
    try:
        card = json.loads((folder / CARD).read_text())
    except (OSError, ValueError):
        return None
    if card.get("job_digest") != job.digest():
        return None
    return _result(job, folder, card, trained=False)


def train_and_publish(job: Job, models: Path, data: Path) -> dict[str, Any]:
    """Run the job; return model, version, path, metrics and seconds per stage."""
    clock = Clock()
    folder = dataset.fetch(data)
    train, test = dataset.load(folder, "train"), dataset.load(folder, "test")
    clock.lap("data")
    import tensorflow as tf

    from atelier_trainer.fit import train as fit

    clock.lap("import")
    with Staging(models / job.model) as staging:
        model = fit(job, train)
        clock.lap("fit")
        try:
            card = _write_version(staging.folder, job, model, train, test)
            clock.lap("export")
            card["seconds"] = clock.seconds
            (staging.folder / CARD).write_text(json.dumps(card, indent=1) + "\n")
        except (OSError, tf.errors.OpError) as error:
            raise PublishError(explain_write_failure(models / job.model, error)) from None
        version = staging.publish()
    clock.lap("publish")
    _list(models, job.model)
    return _result(job, version, card, trained=True)


def publish_untrained(job: Job, models: Path, images: dataset.Split) -> Path:
    """Publish the job's model with its initial weights: a version to try a server with, made in a second or two."""
    from atelier_trainer.network import build

    with Staging(models / job.model) as staging:
        card = _write_version(staging.folder, job, build(job), images, images)
        (staging.folder / CARD).write_text(json.dumps(card, indent=1) + "\n")
        version = staging.publish()
    _list(models, job.model)
    return version


class Clock:
    """Seconds per stage, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = time.monotonic()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now


def _write_version(
    folder: Path, job: Job, model: Any, train: dataset.Split, test: dataset.Split
) -> dict[str, Any]:
    """Export into the staging folder, load it back, and let what was loaded make the metrics and golden examples."""
    from atelier_trainer.companions import write_golden, write_warmup
    from atelier_trainer.export import export
    from atelier_trainer.exported import ExportedModel

    export(model, dataset.CLASS_NAMES, folder)
    extra = folder / "assets.extra"
    extra.mkdir()
    write_warmup(extra / "tf_serving_warmup_requests", job.model)
    exported = ExportedModel(folder)
    metrics = exported.evaluate(test)
    write_golden(extra / "golden.npz", exported, test.images)
    print(
        f"test: accuracy {metrics['accuracy']:.4f}  loss {metrics['loss']:.4f}  (exported model)",
        file=sys.stderr,
    )
    return _card(job, model, metrics, train, test)


def _card(
    job: Job, model: Any, metrics: dict[str, float | int], train: dataset.Split, test: dataset.Split
) -> dict[str, Any]:
    import keras
    import tensorflow as tf

    return {
        "model": job.model,
        "job": job.model_dump(mode="json"),
        "job_digest": job.digest(),
        "task": "multiclass",
        "class_names": list(dataset.CLASS_NAMES),
        "data": {
            "name": job.data,
            "train": {"examples": len(train.labels), "sha256": train.sha256},
            "test": {"examples": len(test.labels), "sha256": test.sha256},
        },
        "metrics": {"test": metrics},
        "parameters": int(model.count_params()),
        "versions": {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "python": platform.python_version(),
        },
        "git_revision": _git_revision(),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {},
    }


def _result(job: Job, version: Path, card: dict[str, Any], trained: bool) -> dict[str, Any]:
    return {
        "model": job.model,
        "version": int(version.name),
        "path": str(version),
        "trained": trained,
        "metrics": card["metrics"]["test"],
        "seconds": card["seconds"],
    }


def _list(models: Path, name: str) -> None:
    # Imported here: the protos come with TensorFlow.
    from atelier_trainer.served_models import ensure_listed

    try:
        ensure_listed(models, name)
    except OSError as error:
        raise PublishError(explain_write_failure(models, error)) from None


def _git_revision() -> str | None:
    """The commit the trainer's code stands at, or None outside a checkout (as in the container image)."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
