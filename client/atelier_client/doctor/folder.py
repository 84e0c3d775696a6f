"""Checks of the models directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from atelier_client._model_card import read_card, read_golden
from atelier_client.doctor.finding import Finding, error, ok, warning
from atelier_client.doctor.listing import check_listing, folders_of, near
from atelier_client.doctor.published_files import changed_files
from atelier_client.doctor.saved_model import SavedModel, read_saved_model
from atelier_client.doctor.version_names import is_number, is_version
from atelier_client.doctor.warmup import check_warmup
from atelier_client.errors import DataError

# The release that the stack serves with (docs/serving.md). It may lack operations that a later release writes.
SERVED_TENSORFLOW = (2, 20)


def check_folder(models: Path, model: str | None) -> Iterator[Finding]:
    """All findings about `models/<model>`, until nothing further can be checked.

    When `model` is None, the last finding asks for a name.
    """
    if not models.is_dir():
        problem = "is no directory" if models.exists() else "does not exist"
        yield error(
            "models directory",
            f"{models} {problem}.",
            "Give the folder that holds a folder a model: --models.",
        )
        return
    yield ok("models directory", f"{models}")
    yield from check_listing(models, model)
    folder = models / (model or "")
    if model is None or not folder.is_dir():
        yield _missing_model(models, model)
        return
    versions = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            if entry.name.startswith(".staging-") and entry.is_dir():
                yield warning(
                    "versions",
                    f"{entry} is a version being written, or left by a writer that was killed.",
                    "Nothing to do: the server does not see it, and the next publish removes what is left.",
                )
        elif is_number(entry.name) and not is_version(entry.name):
            yield error(
                "versions",
                f"{entry} is beyond the largest number of a version, {2**63 - 1}: no server loads it.",
                "Remove it, or give it a smaller number in one step (mv).",
            )
        elif is_version(entry.name) and entry.is_dir():
            versions.append(entry)
        elif is_version(entry.name):
            yield error(
                "versions",
                f"{entry} is a file; a version is a folder.",
                "Move it away: the server tries to load it.",
            )
        elif entry.is_dir():
            yield warning(
                "versions",
                f"{entry} is no version: its name is not a whole number, so the server ignores it.",
                f"If it is one, rename it in one step: mv {entry} {folder / _next_number(folder)}",
            )
    if not versions:
        yield error(
            "versions",
            f"{folder} holds no version: a folder whose name is a whole number.",
            f"Train one (atelier-trainer train JOB --models {models}), or move a SavedModel to {folder}/1.",
        )
        return
    versions.sort(key=lambda entry: int(entry.name))
    yield ok("versions", f"{', '.join(entry.name for entry in versions)} in {folder}")
    for version in versions:
        yield from _version(version, newest=version is versions[-1])


def _version(folder: Path, newest: bool) -> Iterator[Finding]:
    check = f"version {folder.name}"
    try:
        saved = read_saved_model(folder)
    except DataError as problem:
        yield error(check, str(problem), "Publish the version again, or remove it.")
        return
    except OSError as problem:
        yield error(
            check, f"{folder} cannot be read: {problem}.", "The server needs to read it: chmod -R a+rX."
        )
        return
    for fault in saved.faults:
        yield error(
            check,
            f"{folder} is half-written: {fault}.",
            "Do not copy into a folder with a number: write beside it and rename in one step. Publish it again, or "
            "remove it.",
        )
    if saved.faults:
        return
    yield ok(check, f"a whole SavedModel, written by TensorFlow {saved.tensorflow or '(not said)'}")
    found = [*_newest(check, folder, saved), *check_warmup(folder, folder.parent.parent)] if newest else []
    yield from found
    changed = () if any(finding.state == "error" for finding in found) else changed_files(folder)
    if changed:
        yield error(
            check,
            f"{folder} is not what was published: {', '.join(changed[:5])}.",
            "A version is never changed. Publish it again, or remove it.",
        )


def _newest(check: str, folder: Path, saved: SavedModel) -> Iterator[Finding]:
    if saved.signatures and "serving_default" not in saved.signatures:
        yield warning(
            "signatures",
            f"{check} has no signature serving_default; it has {', '.join(saved.signatures)}.",
            "Clients that name none ask for it. Export with it, or give --signature.",
        )
    if not saved.signatures and saved.tensorflow:
        yield error(
            "signatures",
            f"{check} has no signature: nothing can be asked of it.",
            "Export it with signatures=...",
        )
    written = _release(saved.tensorflow)
    if written and written != SERVED_TENSORFLOW:
        later = written > SERVED_TENSORFLOW
        yield warning(
            "trainer and server",
            f"{check} was written by TensorFlow {saved.tensorflow}; the stack serves with "
            f"{_dotted(SERVED_TENSORFLOW)}.",
            (
                "A graph of a later release may hold ops the server lacks ('Op type not registered'). "
                if later
                else "An earlier one is usually served well. "
            )
            + "Train and serve with one release.",
        )
    try:
        read_card(folder)
    except DataError as problem:
        yield error("model card", str(problem), "Publish the version again.")
    try:
        if read_golden(folder) is None:
            yield warning(
                "golden examples",
                f"{check} has none (assets.extra/golden.npz).",
                "Without them nobody notices that the server answers otherwise than the trainer.",
            )
    except DataError as problem:
        yield error("golden examples", str(problem), "Publish the version again.")


def _missing_model(models: Path, model: str | None) -> Finding:
    folders = folders_of(models)
    if any(is_version(name) for name in folders):
        return error(
            "model name",
            f"{models} holds versions itself ({', '.join(name for name in folders if is_version(name))}).",
            f"It is a model's folder; give the one above: --models {models.parent} --model {models.name}",
        )
    if model is None:
        return error(
            "model name",
            f"Which model is meant is not known; {models} holds {', '.join(folders) or 'nothing'}.",
            "Give its name: --model NAME.",
        )
    return error(
        "model name",
        f"{models} holds no model {model!r}; it holds {', '.join(folders) or 'nothing'}."
        + near(model, folders),
        "Give its name: --model NAME.",
    )


def _next_number(folder: Path) -> str:
    numbers = [int(entry.name) for entry in folder.iterdir() if is_version(entry.name)]
    return str(max(numbers, default=0) + 1)


def _release(version: str | None) -> tuple[int, int] | None:
    parts = (version or "").split(".")
    if len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
        return None
    return int(parts[0]), int(parts[1])


def _dotted(release: tuple[int, int]) -> str:
    return ".".join(map(str, release))
