"""atelier-trainer track and mirror: runs and labels, told to an experiment tracker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from atelier_trainer.cli.options import Models, Runs, Tracking
from atelier_trainer.errors import TrackingFailed, TrackingRefused
from atelier_trainer.quiet import silence_startup
from atelier_trainer.training import run as run_folders

LABELS = ("stable", "canary")
_UNASKED = "No tracking address: set MLFLOW_TRACKING_URI, or give --tracking-uri (sqlite needs no server)."

app = typer.Typer()
Seconds = Annotated[float, typer.Option("--timeout", min=1.0, help="Give up after so many seconds.")]


@app.command()
def track(
    names: Annotated[list[str], typer.Argument(metavar="RUN ..", help="Run folders, or job names.")],
    tracking_uri: Tracking = "",
    models: Models = Path("models"),
    runs: Runs = Path("runs"),
    copy_model: Annotated[
        bool, typer.Option("--copy-model", help="Upload the SavedModel too, not only its card and its place.")
    ] = False,
    timeout: Seconds = 600.0,
) -> None:
    """Send finished runs to MLflow. Repeated it changes nothing; what an earlier try left out is added.

    Example: atelier-trainer track fashion-cnn --tracking-uri http://127.0.0.1:5000
    """
    from atelier_trainer.tracking.tracker import Mlflow

    if not tracking_uri:
        raise TrackingRefused(_UNASKED)
    found = [run_folders.find(name, runs) for name in names]
    done = Mlflow(tracking_uri, runs, models).send(found, copy_model=copy_model, seconds=timeout)
    print(json.dumps(done), flush=True)


@app.command()
def mirror(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL ..]", help="The models; all without one.")
    ] = None,
    tracking_uri: Tracking = "",
    models: Models = Path("models"),
    runs: Runs = Path("runs"),
    timeout: Seconds = 60.0,
) -> None:
    """Set MLflow's aliases stable and canary to what models.config says. Nothing is read back from them.

    Example: atelier-trainer mirror fashion --tracking-uri http://127.0.0.1:5000
    """
    from atelier_trainer.tracking.address import resolved
    from atelier_trainer.tracking.sending import is_installed, send
    from atelier_trainer.tracking.tracker import MISSING

    if not tracking_uri:
        raise TrackingRefused(_UNASKED)
    uri = resolved(tracking_uri, runs)
    if not is_installed():
        raise TrackingRefused(f"{MISSING}.")
    labels = _labels(models, names)
    done = send("aliases", uri, {"labels": labels}, timeout)
    missing = [
        f"{model} version {found['version']} ({label})"
        for model, by_label in done.items()
        for label, found in by_label.items()
        if found["version"] is not None and found["mlflow_version"] is None
    ]
    print(json.dumps(done), flush=True)
    if missing:
        raise TrackingFailed(
            f"Not registered there, so without an alias: {', '.join(missing)}. `atelier-trainer track RUN` registers "
            "what a run has published."
        )


def _labels(models: Path, names: list[str] | None) -> dict[str, dict[str, int | None]]:
    """Each model's version by label, None for a label that no version has. Raises `TrackingRefused`."""
    silence_startup()
    # Imported here: the protos come with TensorFlow.
    from atelier_trainer.publishing.models_config import read_config

    listed = {
        entry.name: dict(entry.version_labels)
        for entry in read_config(models / "models.config").model_config_list.config
    }
    unknown = [name for name in names or () if name not in listed]
    if unknown or not listed:
        known = ", ".join(sorted(listed)) or "none"
        raise TrackingRefused(
            f"{models / 'models.config'} lists no model {', '.join(unknown) or 'at all'}; it lists: {known}."
        )
    return {name: {label: listed[name].get(label) for label in LABELS} for name in names or listed}
