"""From a job to a published version: data, fit, export, check, publish."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atelier_trainer import interrupt
from atelier_trainer.data import job_data
from atelier_trainer.errors import PublishError
from atelier_trainer.job import Job
from atelier_trainer.printable import say
from atelier_trainer.publishing import version_folder
from atelier_trainer.publishing.staging import Staging, explain_write_failure, versions
from atelier_trainer.quiet import quick_import
from atelier_trainer.training.run import Run, continued_or_new


def up_to_date(job: Job, models: Path) -> dict[str, Any] | None:
    """The result for the newest version when this very job and data made it and it is whole, else None.

    A version that is not in models.config is listed there; only for that TensorFlow is imported.
    """
    numbers = versions(models / job.model)
    if not numbers:
        return None
    folder = models / job.model / str(numbers[-1])
    card = version_folder.read_card(folder)
    if card is None:
        return None
    if (card.get("job_digest"), card.get("source_digest")) != (job.digest(), job_data.source_digest(job)):
        return None
    missing = version_folder.missing_part(folder)
    if missing:
        say(f"{folder} is damaged ({missing} is missing): training again.")
        return None
    if not _is_listed(models, job.model):
        list_model(models, job.model, folder)
        say(f"{folder} was not listed in {models / 'models.config'}; now it is.")
    return _result(job, folder, card, trained=False)


def _is_listed(models: Path, name: str) -> bool:
    """True when models.config, as the trainer writes it, lists the model. The text is searched without TensorFlow."""
    try:
        text = (models / "models.config").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    lines = {line.strip() for line in text.splitlines()}
    return {f'name: "{name}"', f'base_path: "{(models / name).resolve()}"'} <= lines


def train_and_publish(job: Job, models: Path, data_folder: Path, runs: Path) -> dict[str, Any]:
    """Run the job, or go on with its interrupted run; return model, version, path, metrics and seconds."""
    clock = Clock()
    source_digest, data_set = job_data.source_digest(job), job_data.load(job, data_folder)
    job_data.tell_findings(data_set)
    clock.lap("data")
    with quick_import():
        import tensorflow as tf

        from atelier_trainer.training.fit import fit, restore
    clock.lap("import")
    # A models.config that cannot be read would fail the listing at the end: so it is an error before the training.
    from atelier_trainer.publishing.models_config import read_config

    read_config(models / "models.config")
    with (
        _explained_run(runs / job.name),
        continued_or_new(runs, job, source_digest, done=("published",)) as run,
    ):
        version = version_folder.published_by(run, models / job.model)
        if version is None:
            with Staging(models / job.model) as staging:
                with _explained_run(run.folder):
                    fitted = fit(job, data_set, run) if run.state == "fitting" else restore(run)
                    run.update(state="fitted", epochs=fitted.epochs, best_epoch=fitted.best_epoch)
                clock.lap("fit")
                try:
                    card = version_folder.write(staging.folder, job, fitted, data_set, source_digest, run)
                    clock.lap("export")
                    card["seconds"] = clock.seconds
                    (staging.folder / version_folder.CARD).write_text(json.dumps(card, indent=1) + "\n")
                except (OSError, tf.errors.OpError) as error:
                    raise PublishError(
                        f"{explain_write_failure(models / job.model, error)} Nothing was published."
                    ) from None
                interrupt.check()
                version = staging.publish()
        else:
            card = version_folder.read_card(version) or {}
            say(f"{version} was published by the run {run.name} before; it is listed now.")
        list_model(models, job.model, version)
        clock.lap("publish")
        _finish(run, version, card, clock.seconds)
    return _result(job, version, card, trained=True) | {"run": str(run.folder)}


def _finish(run: Run, version: Path, card: dict[str, Any], seconds: dict[str, float]) -> None:
    """Record in the run what it published, and draw its history. A failure of these is only a warning."""
    from atelier_trainer.training.history_chart import draw_history

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
