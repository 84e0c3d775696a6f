"""From a job to a published version: data, fit, export, check, publish."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atelier_trainer import interrupt
from atelier_trainer.data import job_data
from atelier_trainer.data.dataset import DataSet
from atelier_trainer.errors import PublishError
from atelier_trainer.job import Job
from atelier_trainer.printable import say
from atelier_trainer.publishing.staging import Staging, explain_write_failure, versions
from atelier_trainer.quiet import quick_import
from atelier_trainer.training.run import Run, continued_or_new

CARD = Path("assets.extra", "model_card.json")
# What a version cannot be loaded without.
PARTS = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")


def up_to_date(job: Job, base: Path, models: Path) -> dict[str, Any] | None:
    """The result for the newest version when this very job and data made it and it is whole, else None.

    A version that is not in models.config is listed. Needs no TensorFlow for one that is.
    """
    numbers = versions(models / job.model)
    if not numbers:
        return None
    folder = models / job.model / str(numbers[-1])
    card = _read_card(folder)
    if card is None:
        return None
    if card.get("job_digest") != job.digest() or card.get("source_digest") != job_data.source_digest(
        job, base
    ):
        return None
    missing = [name for name in PARTS if not (folder / name).is_file()]
    if missing:
        say(f"{folder} is damaged ({missing[0]} is missing): training again.")
        return None
    if not _is_listed(models, job.model):
        list_model(models, job.model, folder)
        say(f"{folder} was not listed in {models / 'models.config'}; now it is.")
    return _result(job, folder, card, trained=False)


def _read_card(folder: Path) -> dict[str, Any] | None:
    """A version's card, None when it has none that says what a result needs; then it is said."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        card["metrics"]["test"], card["seconds"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        say(f"{folder / CARD} is not readable ({type(error).__name__}: {error}): training again.")
        return None
    return dict(card)


def _is_listed(models: Path, name: str) -> bool:
    """True when models.config, as the trainer writes it, has the model: a look without TensorFlow's parser."""
    try:
        text = (models / "models.config").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    lines = {line.strip() for line in text.splitlines()}
    return {f'name: "{name}"', f'base_path: "{(models / name).resolve()}"'} <= lines


def train_and_publish(job: Job, base: Path, models: Path, data: Path, runs: Path) -> dict[str, Any]:
    """Run the job, or go on with the run of it that was interrupted; return model, version, path, metrics, seconds.

    `base` is the folder the job's data paths start from.
    """
    clock = Clock()
    source, loaded = job_data.source_digest(job, base), job_data.load(job, base, data)
    job_data.tell_findings(loaded)
    clock.lap("data")
    with quick_import():
        import tensorflow as tf

        from atelier_trainer.training.fit import fit, restore
    clock.lap("import")
    # What would stop the listing of the version stops it before anything is trained.
    from atelier_trainer.publishing.models_config import read_config

    read_config(models / "models.config")
    with _explained_run(runs / job.name), continued_or_new(runs, job, source, done=("published",)) as run:
        version = _published_before(run, models / job.model)
        if version is None:
            with Staging(models / job.model) as staging:
                with _explained_run(run.folder):
                    fitted = fit(job, loaded, run) if run.state == "fitting" else restore(run)
                    run.update(state="fitted", epochs=fitted.epochs, best_epoch=fitted.best_epoch)
                clock.lap("fit")
                try:
                    card = write_version(staging.folder, job, fitted, loaded, source, run)
                    clock.lap("export")
                    card["seconds"] = clock.seconds
                    (staging.folder / CARD).write_text(json.dumps(card, indent=1) + "\n")
                except (OSError, tf.errors.OpError) as error:
                    raise PublishError(
                        f"{explain_write_failure(models / job.model, error)} Nothing was published."
                    ) from None
                interrupt.check()
                version = staging.publish()
        else:
            card = _read_card(version) or {}
            say(f"{version} was published by the run {run.name} before; it is listed now.")
        list_model(models, job.model, version)
        clock.lap("publish")
        _finish(run, version, card, clock.seconds)
    return _result(job, version, card, trained=True) | {"run": str(run.folder)}


def _published_before(run: Run, model_folder: Path) -> Path | None:
    """The version that this run published before its command was stopped, None when it published none."""
    if run.state == "fitting" or not run.id:
        return None
    for number in reversed(versions(model_folder)):
        folder = model_folder / str(number)
        try:
            card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(card, dict) and card.get("run_id") == run.id and _read_card(folder):
            return folder
    return None


def _finish(run: Run, version: Path, card: dict[str, Any], seconds: dict[str, float]) -> None:
    """Record in the run what it published, and draw its history; a version is published whatever becomes of these."""
    from atelier_trainer.training.plots import draw_history

    try:
        run.update(
            state="published",
            version=int(version.name),
            metrics=card["metrics"],
            parameters=card["parameters"],
            seconds=seconds,
        )
        draw_history([run], run.folder / "history.png")
    except OSError as error:
        say(f"warning: {version} is published, but not recorded: {explain_write_failure(run.folder, error)}")


@contextmanager
def _explained_run(folder: Path) -> Iterator[None]:
    """Turn a failed write of a run into a message that names its folder."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if "No space left" not in str(error):
            raise PublishError(
                f"Training ran out of memory: {error.message[:300]} Nothing was published."
            ) from None
        raise PublishError(f"{explain_write_failure(folder, error)} Nothing was published.") from None
    except (OSError, tf.errors.OpError) as error:
        raise PublishError(f"{explain_write_failure(folder, error)} Nothing was published.") from None


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


def write_version(
    folder: Path, job: Job, fitted: Any, data: DataSet, source: str, run: Run | None
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


def list_model(models: Path, name: str, version: Path) -> None:
    """Add a version's model to models.config. Raises `PublishError`."""
    # Imported here: the protos come with TensorFlow.
    from atelier_trainer.publishing.models_config import ensure_listed

    try:
        ensure_listed(models, name)
    except (OSError, PublishError) as error:
        why = str(error) if isinstance(error, PublishError) else explain_write_failure(models, error)
        raise PublishError(
            f"{version} is published, but not listed in {models / 'models.config'}, so that no server loads it: {why} "
            "The same command then lists it, without training again."
        ) from None
