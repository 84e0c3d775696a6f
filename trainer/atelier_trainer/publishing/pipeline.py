"""From a job to a published version: data, fit, export, check, publish."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier_trainer import interrupt
from atelier_trainer.data import job_data
from atelier_trainer.data.dataset import DataSet
from atelier_trainer.distributed.cluster import Cluster
from atelier_trainer.errors import PublishError
from atelier_trainer.files import explain_write_failure, read_text, writing
from atelier_trainer.job import Job
from atelier_trainer.printable import say
from atelier_trainer.publishing import version_folder
from atelier_trainer.publishing.staging import Staging, versions
from atelier_trainer.quiet import quick_import
from atelier_trainer.training.run import Run, continued_or_new

if TYPE_CHECKING:
    from atelier_trainer.training.fit import Fitted

NOTHING = "Nothing was published."


def up_to_date(job: Job, models: Path, *, follow_newest: bool = False) -> dict[str, Any] | None:
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
    if damage := version_folder.damage(folder, card):
        say(f"{folder} is damaged ({damage}): training again.")
        return None
    listed = _is_listed(models, job.model)
    if not listed and list_model(models, job.model, folder, follow_newest=follow_newest):
        say(f"{folder} was not listed in {models / 'models.config'}; now it is.")
    return _result(job, folder, card, trained=False)


def _is_listed(models: Path, name: str) -> bool:
    """True when models.config lists the model as the trainer writes it. The text is searched without TensorFlow."""
    try:
        lines = [line.strip() for line in read_text(models / "models.config").splitlines()]
    except (OSError, ValueError):
        return False
    entry = ["config {", f'name: "{name}"', f'base_path: "{(models / name).resolve()}"']
    return any(lines[start : start + 3] == entry for start in range(len(lines)))


def train_and_publish(
    job: Job,
    models: Path,
    data_folder: Path,
    runs: Path,
    *,
    follow_newest: bool = False,
    cluster: Cluster | None = None,
) -> dict[str, Any]:
    """Run the job, or go on with its interrupted run; return model, version, path, metrics and seconds.

    With `follow_newest` a new model is listed so that servers take every new version. `cluster` has the workers that
    train with this process, which is their chief.
    """
    clock = Clock()
    source_digest = job_data.source_digest(job)
    with writing(data_folder):
        data_set = job_data.load(job, data_folder)
    job_data.tell_findings(data_set)
    clock.lap("data")
    with quick_import():
        import tensorflow as tf

        from atelier_trainer.training.failures import explained
        from atelier_trainer.training.fit import restore
    clock.lap("import")
    # A models.config that cannot be read would fail the listing at the end: so it is an error before the training.
    from atelier_trainer.publishing.models_config import keep_serving

    before = versions(models / job.model)
    if not follow_newest and keep_serving(models, job.model, before[-1] if before else None):
        say(f"{job.model}: version {before[-1]} goes on being served until a release replaces it.")
    with (
        explained(runs / job.name, NOTHING),
        continued_or_new(runs, job, source_digest, done=("published",)) as run,
        _interrupt_explained(run, models / job.model),
    ):
        version = version_folder.published_by(run, models / job.model)
        if version is not None or run.state != "fitting":
            dismiss_workers(cluster)
        if version is None:
            with Staging(models / job.model) as staging:
                with explained(run.folder, NOTHING):
                    fitted = _fitted(job, data_set, run, cluster) if run.state == "fitting" else restore(run)
                    run.update(state="fitted", epochs=fitted.epochs, best_epoch=fitted.best_epoch)
                clock.lap("fit")
                try:
                    card = version_folder.write(staging.folder, job, fitted, data_set, source_digest, run)
                    clock.lap("export")
                    card["seconds"] = clock.seconds
                    version_folder.write_card(staging.folder, card)
                except (OSError, tf.errors.OpError) as error:
                    said = (
                        explain_write_failure(models / job.model, error)
                        or f"The export failed: {error}"[:600]
                    )
                    raise PublishError(f"{said} {NOTHING}") from None
                interrupt.check()
                version = staging.publish()
        else:
            card = version_folder.read_card(version) or {}
            say(f"{version} was published by the run {run.name} before; it is listed now.")
        list_model(models, job.model, version, follow_newest=follow_newest)
        clock.lap("publish")
        _finish(run, version, card, clock.seconds)
    return _result(job, version, card, trained=True) | {"run": str(run.folder)}


def train_along(job: Job, data_folder: Path, cluster: Cluster) -> dict[str, Any]:
    """Train with the other workers; their chief writes the run and publishes. Returns model, worker and `trained`."""
    with writing(data_folder):
        data_set = job_data.load(job, data_folder)
    with quick_import():
        from atelier_trainer.distributed.fit import follow
        from atelier_trainer.training.failures import explained
    with explained(data_folder, NOTHING):
        trained = follow(job, data_set, cluster)
    return {"model": job.model, "worker": cluster.index, "trained": trained}


def dismiss_workers(cluster: Cluster | None) -> None:
    """Tell the workers that wait for their chief that there is nothing to train."""
    if cluster and len(cluster.workers) > 1:
        from atelier_trainer.distributed.fit import dismiss

        dismiss(cluster)


def _fitted(job: Job, data_set: DataSet, run: Run, cluster: Cluster | None) -> Fitted:
    """By the loop of the job's strategy."""
    if job.fit.strategy == "single":
        from atelier_trainer.training.fit import fit

        return fit(job, data_set, run)
    from atelier_trainer.distributed.fit import fit as fit_together

    return fit_together(job, data_set, run, cluster)


@contextmanager
def _interrupt_explained(run: Run, model_folder: Path) -> Iterator[None]:
    """Say on an interrupt which version the run has published already."""
    try:
        yield
    except KeyboardInterrupt:
        if version := version_folder.published_by(run, model_folder):
            say(f"{version} is published; the same command lists it, without training again.")
        raise


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
        why = explain_write_failure(run.folder, error) or error
        say(f"warning: {version} is published, but not recorded: {why}")


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


def list_model(models: Path, name: str, version: Path, *, follow_newest: bool = False) -> bool:
    """Add a version's model to models.config; False when it is there. Raises `PublishError`."""
    # Imported here: the protos come with TensorFlow.
    from atelier_trainer.publishing.models_config import ensure_listed

    try:
        return ensure_listed(models, name, int(version.name), follow_newest=follow_newest)
    except (OSError, PublishError) as error:
        why = explain_write_failure(models, error) if isinstance(error, OSError) else None
        raise PublishError(
            f"{version} is published, but not listed in {models / 'models.config'}, so that no server loads it: "
            f"{why or error} "
            "The same command then lists it, without training again."
        ) from None
