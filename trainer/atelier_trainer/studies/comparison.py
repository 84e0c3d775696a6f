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
    """What the history of a run says; losses are without the penalty of L1 and L2, of a regression the RMSE.

    A regression has `val_r2` and `test_r2` in place of the accuracies; `gap` is the training's accuracy or R2 less the
    validation's.

    `best_epoch` has the least validation loss. `overfits_from` is the epoch after it from which the validation loss
    stays above that by the tolerance, to the end, while the training loss has fallen on.
    """

    run: str
    parameters: int | None
    epochs: int
    best_epoch: int
    val_loss: float
    val_accuracy: float | None
    last_val_loss: float
    gap: float
    overfits_from: int | None
    test_accuracy: float | None
    val_r2: float | None = None
    test_r2: float | None = None
    best: bool = False


def compare(runs: Sequence[Run]) -> list[Verdict]:
    """One verdict a run; `best` is the one with the least validation loss.

    Raises `RunError` without validation, and for runs of different tasks.
    """
    verdicts = [judge(run) for run in runs]
    tasks = {verdict.val_r2 is None: verdict.run for verdict in verdicts}
    if len(tasks) > 1:
        raise RunError(
            f"The run {tasks[False]} is a regression and {tasks[True]} a classification: their losses differ "
            "in kind."
        )
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
    parameters, score = run.results()
    metric = "accuracy" if "accuracy" in best else "r2"
    return Verdict(
        run=run.name,
        parameters=parameters,
        epochs=len(rows),
        best_epoch=best["epoch"],
        val_loss=best[f"val_{loss}"],
        val_accuracy=best.get("val_accuracy"),
        last_val_loss=rows[-1][f"val_{loss}"],
        gap=rows[-1][metric] - rows[-1][f"val_{metric}"],
        overfits_from=overfits_from(rows, loss),
        test_accuracy=score if metric == "accuracy" else None,
        val_r2=best.get("val_r2"),
        test_r2=score if metric == "r2" else None,
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
    regression = verdicts[0].val_r2 is not None
    score, loss = ("R2", "RMSE") if regression else ("acc", "loss")
    for title in (
        "weights",
        "best epoch",
        f"val {loss}",
        f"val {score}",
        f"last {loss}",
        "overfits",
        f"test {score}",
        "",
    ):
        table.add_column(title, justify="right", no_wrap=True)
    for verdict in verdicts:
        table.add_row(
            verdict.run,
            f"{verdict.parameters:,}" if verdict.parameters else "",
            f"{verdict.best_epoch} of {verdict.epochs}",
            f"{verdict.val_loss:.4f}",
            _shown(verdict.val_r2 if regression else verdict.val_accuracy),
            f"{verdict.last_val_loss:.4f}",
            f"from epoch {verdict.overfits_from}" if verdict.overfits_from else "no",
            _shown(verdict.test_r2 if regression else verdict.test_accuracy),
            "best" if verdict.best else "",
        )
    Console(stderr=True, width=None if Console(stderr=True).is_terminal else 120).print(table)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
