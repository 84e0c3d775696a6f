"""From a job to a published version: data, fit, export, check, publish."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from atelier_trainer import interrupt
from atelier_trainer.data import job_data
from atelier_trainer.data.dataset import DataSet
from atelier_trainer.errors import PublishError
from atelier_trainer.job import Job
from atelier_trainer.publishing.staging import Staging, explain_write_failure, versions
from atelier_trainer.quiet import quick_import
from atelier_trainer.training.run import continued_or_new

CARD = Path("assets.extra", "model_card.json")


def up_to_date(job: Job, base: Path, models: Path) -> dict[str, Any] | None:
    """The result for the newest version when this very job and data made it, else None. Needs no TensorFlow."""
    numbers = versions(models / job.model)
    if not numbers:
        return None
    folder = models / job.model / str(numbers[-1])
    try:
        card = json.loads((folder / CARD).read_text())
    except (OSError, ValueError):
        return None
    if card.get("job_digest") != job.digest() or card.get("source_digest") != job_data.source_digest(
        job, base
    ):
        return None
    return _result(job, folder, card, trained=False)


def train_and_publish(job: Job, base: Path, models: Path, data: Path, runs: Path) -> dict[str, Any]:
    """Run the job, or go on with the run of it that was interrupted; return model, version, path, metrics, seconds.

    `base` is the folder the job's data paths start from.
    """
    clock = Clock()
    source, loaded = job_data.source_digest(job, base), job_data.load(job, base, data)
    tell_findings(loaded)
    clock.lap("data")
    with quick_import():
        import tensorflow as tf

        from atelier_trainer.training.fit import fit, restore
    clock.lap("import")
    with (
        continued_or_new(runs, job, source, done=("published",)) as run,
        Staging(models / job.model) as staging,
    ):
        try:
            fitted = fit(job, loaded, run) if run.state == "fitting" else restore(run)
            run.update(state="fitted", epochs=fitted.epochs, best_epoch=fitted.best_epoch)
            clock.lap("fit")
            card = _write_version(staging.folder, job, fitted, loaded, source, run.name)
            clock.lap("export")
            card["seconds"] = clock.seconds
            (staging.folder / CARD).write_text(json.dumps(card, indent=1) + "\n")
        except (OSError, tf.errors.OpError) as error:
            raise PublishError(explain_write_failure(models / job.model, error)) from None
        interrupt.check()
        version = staging.publish()
        _list(models, job.model)
        clock.lap("publish")
        run.update(
            state="published",
            version=int(version.name),
            metrics=card["metrics"],
            parameters=card["parameters"],
            seconds=clock.seconds,
        )
        from atelier_trainer.training.plots import draw_history

        draw_history([run], run.folder / "history.png")
    return _result(job, version, card, trained=True) | {"run": str(run.folder)}


def publish_untrained(job: Job, models: Path, data: DataSet) -> Path:
    """Publish the job's model with its initial weights: a version to try a server with, made in a second or two."""
    from atelier_trainer.training.data_spec import Spec
    from atelier_trainer.training.encoding import encoding_for, vocabulary_of
    from atelier_trainer.training.fit import Fitted
    from atelier_trainer.training.network import build

    spec = Spec.of(data)
    words = vocabulary_of(data.test.inputs, job.network.vocabulary) if data.kind == "text" else None
    encoding = encoding_for(spec, job.network, words)
    fitted = Fitted(build(job, spec, encoding), encoding, spec, 0, 0)
    with Staging(models / job.model) as staging:
        card = _write_version(staging.folder, job, fitted, data, "untrained", None)
        (staging.folder / CARD).write_text(json.dumps(card, indent=1) + "\n")
        version = staging.publish()
    _list(models, job.model)
    return version


def tell_findings(data: DataSet) -> None:
    """Print what is suspicious in the data; the model card has it too."""
    for warning in data.warnings:
        print(f"warning: {warning}", file=sys.stderr, flush=True)


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
    folder: Path, job: Job, fitted: Any, data: DataSet, source: str, run: str | None
) -> dict[str, Any]:
    """Export into the staging folder, load it back, and let what was loaded make the metrics and golden examples."""
    from atelier_trainer.publishing.export import export
    from atelier_trainer.publishing.exported_model import ExportedModel
    from atelier_trainer.publishing.extra_assets import write_golden, write_warmup
    from atelier_trainer.publishing.model_card import model_card

    export(fitted.model, fitted.encoding, fitted.spec, folder)
    extra = folder / "assets.extra"
    extra.mkdir()
    write_warmup(extra / "tf_serving_warmup_requests", job.model, fitted.spec)
    exported = ExportedModel(folder)
    metrics = exported.evaluate(data.test)
    write_golden(extra / "golden.npz", exported, fitted.spec, data.test.inputs)
    print(
        f"test: accuracy {metrics['accuracy']:.4f}  loss {metrics['loss']:.4f}  (exported model)",
        file=sys.stderr,
    )
    return model_card(job, data, source, fitted.model, run, metrics)


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
    from atelier_trainer.publishing.models_config import ensure_listed

    try:
        ensure_listed(models, name)
    except OSError as error:
        raise PublishError(explain_write_failure(models, error)) from None
