"""The model card: what a version is, what it was made from, and how good it was when it was made."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from atelier_trainer.data.dataset import DataSet
from atelier_trainer.job import Job
from atelier_trainer.training.run import Run


def model_card(
    job: Job,
    data_set: DataSet,
    source_digest: str,
    model: keras.Model,
    run: Run | None,
    metrics: dict[str, Any],
) -> dict[str, Any]:
    """The document of docs/contracts.md, section 1; the seconds per stage come last."""
    return {
        "model": job.model,
        "job": job.model_dump(mode="json"),
        "job_digest": job.digest(),
        "source_digest": source_digest,
        "run": run and run.name,
        "run_id": run and run.id,
        "task": data_set.task,
        "class_names": list(data_set.class_names),
        "input": {
            "kind": data_set.kind,
            "shape": list(data_set.shape),
            "columns": list(data_set.columns),
            **data_set.csv_format,
        },
        "data": {
            "name": data_set.name,
            "train": {"examples": len(data_set.train), "sha256": data_set.train.sha256},
            "validation": {"examples": len(data_set.validation or ())},
            "test": {
                "examples": len(data_set.test),
                "sha256": data_set.test.sha256,
                "file": data_set.test_file,
            },
        },
        "metrics": {"test": metrics},
        "warnings": list(data_set.warnings),
        "parameters": int(model.count_params()),
        "versions": versions(),
        "git_revision": git_revision(),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {},
    }


def versions() -> dict[str, str]:
    """What a version was made with."""
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }


def git_revision() -> str | None:
    """The commit the trainer's code stands at, or None outside a checkout (as in the container image)."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
