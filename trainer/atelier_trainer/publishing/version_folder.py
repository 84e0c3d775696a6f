"""A version's folder: written, and what its model card says when it is read again."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from atelier_trainer.data.dataset import DataSet, file_digest
from atelier_trainer.errors import TrainingFailed
from atelier_trainer.files import read_text
from atelier_trainer.job import Job
from atelier_trainer.printable import say
from atelier_trainer.publishing.staging import versions
from atelier_trainer.training.run import Run

CARD = Path("assets.extra", "model_card.json")
# The files without which a version cannot be loaded.
PARTS = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")


def write(
    folder: Path, job: Job, fitted: Any, data_set: DataSet, source_digest: str, run: Run | None
) -> dict[str, Any]:
    """Export into the staging folder and load the export back; return the model card.

    The loaded export, not the fitted model, computes the card's metrics, the golden examples and the reference.
    """
    from atelier_trainer.metrics import measure
    from atelier_trainer.publishing.export import export
    from atelier_trainer.publishing.exported_model import ExportedModel
    from atelier_trainer.publishing.extra_assets import write_golden, write_warmup
    from atelier_trainer.publishing.model_card import model_card
    from atelier_trainer.reference.document import reference, write_reference
    from atelier_trainer.training.encoding import TextEncoding

    export(fitted.model, fitted.encoding, fitted.spec, folder)
    extra = folder / "assets.extra"
    extra.mkdir()
    write_warmup(extra / "tf_serving_warmup_requests", job.model, fitted.spec)
    exported = ExportedModel(folder)
    answers = exported.answers(data_set.test.inputs)
    measured = measure.evaluate(data_set.task, answers, data_set.test.labels)
    if not np.isfinite(answers).all():
        raise TrainingFailed(
            f"Some of the trained model's answers to the test examples ({fitted.spec.output_name}) are no finite "
            "numbers. A smaller optimizer.learning_rate may help. Nothing was published."
        )
    write_golden(extra / "golden.npz", exported, fitted.spec, data_set.test.inputs)
    words = fitted.encoding.words if isinstance(fitted.encoding, TextEncoding) else ()
    run_id = run.id if run else None
    write_reference(
        extra / "reference.json",
        reference(data_set, answers, model=job.model, run_id=run_id, words=words),
    )
    print(f"test: {measure.in_words(measured)}  (exported model)", file=sys.stderr)
    return model_card(job, data_set, source_digest, fitted.model, run, measured)


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write the model card of a version that is otherwise complete, with the digest of each of its files."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {str(path.relative_to(folder)): {"sha256": file_digest(path)} for path in paths}
    (folder / CARD).write_text(json.dumps({**card, "files": files}, indent=1) + "\n")


def read_card(folder: Path) -> dict[str, Any] | None:
    """A version's model card; None, with a line on stderr, when the card is missing or lacks what a result needs."""
    try:
        card = json.loads(read_text(folder / CARD))
        card["metrics"]["test"], card["seconds"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        say(f"{folder / CARD} is not readable ({type(error).__name__}: {error}): training again.")
        return None
    return dict(card)


def damage(folder: Path, card: Mapping[str, Any]) -> str | None:
    """What of a version is not as it was written: a file that is missing or has other bytes. None for nothing."""
    written = card.get("files")
    # An imported model may have its variables in several files, or none.
    parts = PARTS[:1] if card.get("imported") else PARTS
    files = {**dict.fromkeys(parts), **(written if isinstance(written, dict) else {})}
    for name, file in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if isinstance(file, dict) and file.get("sha256") != file_digest(path):
            return f"{name} has other bytes than were written"
    return None


def published_by(run: Run, model_folder: Path) -> Path | None:
    """The version that this run published before its command was stopped, None when it published none."""
    if run.state == "fitting" or not run.id:
        return None
    for number in reversed(versions(model_folder)):
        folder = model_folder / str(number)
        try:
            card = json.loads(read_text(folder / CARD))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(card, dict) and card.get("run_id") == run.id and read_card(folder):
            if found := damage(folder, card):
                say(f"{folder} is damaged ({found}): publishing again.")
                return None
            return folder
    return None
