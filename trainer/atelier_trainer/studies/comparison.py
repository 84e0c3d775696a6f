"""Comparing runs: which overfits, from which epoch, and which is best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from atelier_trainer.errors import RunError
from atelier_trainer.training.run import Run

# A run overfits when its validation loss is by this share above its best value, while the training loss has fallen.
TOLERANCE = 0.05


@dataclass(frozen=True)
class Verdict:
    """What the history of a run says; losses are without the penalty of L1 and L2.

    `best_epoch` has the least validation loss. `overfits_from` is the epoch after it from which the validation loss
    stays above that by the tolerance, to the end, while the training loss has fallen on.
    """

    run: str
    parameters: int | None
    epochs: int
    best_epoch: int
    val_loss: float
    val_accuracy: float
    last_val_loss: float
    gap: float
    overfits_from: int | None
    test_accuracy: float | None
    best: bool = False


def compare(runs: Sequence[Run]) -> list[Verdict]:
    """One verdict a run; `best` is the one with the least validation loss. Raises `RunError` without validation."""
    verdicts = [judge(run) for run in runs]
    best = min(verdicts, key=lambda verdict: verdict.val_loss)
    return [Verdict(**{**asdict(verdict), "best": verdict is best}) for verdict in verdicts]


def judge(run: Run) -> Verdict:
    """The verdict on one run."""
    rows = run.history()
    if not rows or "val_loss" not in rows[0]:
        raise RunError(
            f"The run {run.name} was not validated: train it again with --set fit.validation_split=0.1 "
            "or a data.validation file."
        )
    loss = run.loss_name()
    best = min(rows, key=lambda row: row[f"val_{loss}"])
    parameters, accuracy = run.results()
    return Verdict(
        run=run.name,
        parameters=parameters,
        epochs=len(rows),
        best_epoch=best["epoch"],
        val_loss=best[f"val_{loss}"],
        val_accuracy=best["val_accuracy"],
        last_val_loss=rows[-1][f"val_{loss}"],
        gap=rows[-1]["accuracy"] - rows[-1]["val_accuracy"],
        overfits_from=overfits_from(rows, loss),
        test_accuracy=accuracy,
    )


def overfits_from(rows: Sequence[dict[str, Any]], loss: str = "loss") -> int | None:
    """The epoch from which a history overfits to its end, None when it does not; `loss` is the column judged."""
    best = min(rows, key=lambda row: row[f"val_{loss}"])
    since = None
    for row in rows:
        worse = row[f"val_{loss}"] > best[f"val_{loss}"] * (1 + TOLERANCE) and row[loss] < best[loss]
        since = (since or row["epoch"]) if worse and row["epoch"] > best["epoch"] else None
    return since


def print_table(verdicts: Sequence[Verdict]) -> None:
    """The verdicts for people, on stderr."""
    table = Table(title="Comparison", title_justify="left")
    table.add_column("run", no_wrap=True)
    for title in ("weights", "best epoch", "val loss", "val acc", "last loss", "overfits", "test acc", ""):
        table.add_column(title, justify="right", no_wrap=True)
    for verdict in verdicts:
        table.add_row(
            verdict.run,
            f"{verdict.parameters:,}" if verdict.parameters else "",
            f"{verdict.best_epoch} of {verdict.epochs}",
            f"{verdict.val_loss:.4f}",
            f"{verdict.val_accuracy:.4f}",
            f"{verdict.last_val_loss:.4f}",
            f"from epoch {verdict.overfits_from}" if verdict.overfits_from else "no",
            f"{verdict.test_accuracy:.4f}" if verdict.test_accuracy is not None else "",
            "best" if verdict.best else "",
        )
    Console(stderr=True, width=None if Console(stderr=True).is_terminal else 120).print(table)
