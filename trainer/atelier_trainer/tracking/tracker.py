"""Who is told of finished runs: MLflow, or nobody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from atelier_trainer.errors import AtelierTrainerError, TrackingRefused
from atelier_trainer.printable import say
from atelier_trainer.tracking.address import resolved, shown
from atelier_trainer.tracking.sending import SECONDS, is_installed, send
from atelier_trainer.training.run import Run

MISSING = "MLflow is not installed: pip install 'atelier-trainer[mlflow]'"


class Tracker(Protocol):
    """What a training calls when it is done. It never raises an error of the tracker's."""

    def finished(self, runs: Sequence[Run]) -> None: ...


class NoTracker:
    """Tracks nothing: none was asked for, or it cannot be had."""

    def finished(self, runs: Sequence[Run]) -> None:
        """Do nothing."""


class Mlflow:
    """Sends runs to an MLflow server or database."""

    def __init__(self, address: str, runs: Path, models: Path) -> None:
        """Raises `TrackingRefused` for an address that is none, or when the extra is missing."""
        self.uri = resolved(address, runs)
        self._models = models
        if not is_installed():
            raise TrackingRefused(f"{MISSING}. Nothing is sent to {shown(self.uri)}.")

    def send(self, runs: Sequence[Run], *, copy_model: bool = False, seconds: float = SECONDS) -> Any:
        """Send runs, again or for the first time; what is there already stays. Raises `AtelierTrainerError`."""
        for run in runs:
            if not run.id:
                raise TrackingRefused(
                    f"The run {run.name} was made by a trainer that gave runs no id, so a tracker could not tell it "
                    "from others. Train the job again."
                )
        facts = {
            "runs": [str(run.folder.resolve()) for run in runs],
            "models": str(self._models.resolve()),
            "copy_model": copy_model,
        }
        return send("runs", self.uri, facts, seconds)

    def finished(self, runs: Sequence[Run]) -> None:
        """Send the runs; what fails is a warning with the command that sends them later."""
        if not runs:
            return
        try:
            self.send(runs)
            say(f"tracked: {', '.join(run.name for run in runs)} at {shown(self.uri)}")
        except AtelierTrainerError as error:
            names = " ".join(run.name for run in runs)
            say(f"warning: not tracked: {error} `atelier-trainer track {names}` sends it later.")


def tracker_for(address: str | None, runs: Path, models: Path) -> Tracker:
    """The tracker of an address; nobody without one, and nobody, with a warning, when it cannot be used."""
    if not address:
        return NoTracker()
    try:
        return Mlflow(address, runs, models)
    except TrackingRefused as error:
        say(f"warning: not tracked: {error}")
        return NoTracker()
