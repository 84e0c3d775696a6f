"""Checks of models.config: what it says of one model, and whether a server would take it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from atelier_client.doctor.finding import Finding, error, ok, warning
from atelier_client.doctor.version_names import is_version
from atelier_client.errors import DataError
from atelier_client.model_config import read_config


def check_listing(models: Path, model: str | None) -> Iterator[Finding]:
    """All findings about `models/models.config` and the model's entry in it."""
    check = "models.config"
    try:
        config = read_config(models)
    except DataError as problem:
        yield error(check, str(problem), "Mend it, or remove it: the next publish writes it anew.")
        return
    if config is None or model is None:
        return
    entries = list(config.model_config_list.config)
    names = [entry.name for entry in entries]
    entry = next((entry for entry in entries if entry.name == model), None)
    if entry is None:
        yield error(
            check,
            f"{model} is not listed in {models / check}; it lists {', '.join(names) or 'nothing'}."
            + near(model, names),
            "A server started with this file does not serve it. Publish it, or add an entry.",
        )
        return
    if names.count(model) > 1:
        yield error(
            check, f"{model} is listed {names.count(model)} times.", "The server refuses that; keep one."
        )
    if not entry.base_path.startswith("/") and "://" not in entry.base_path:
        yield error(
            check,
            f"{model}: base_path is {entry.base_path!r}, not absolute.",
            "The server refuses it: write it in full.",
        )
    elif not _is_there(Path(entry.base_path), models / model):
        yield error(
            check,
            f"{model}: the base_path {entry.base_path} does not exist.",
            f"The server finds no version there. Write the folder's path: {(models / model).absolute()}",
        )
    else:
        yield from _other_folder(model, Path(entry.base_path), models / model)
    policy = entry.model_version_policy
    listed = list(policy.specific.versions) if policy.HasField("specific") else None
    faults = list(_labels(models / model, entry.version_labels, listed))
    yield from faults
    if not faults:
        labels = ", ".join(f"{label} -> {version}" for label, version in sorted(entry.version_labels.items()))
        yield ok(check, f"lists {model}" + (f", labels {labels}" if labels else ""))


def _labels(folder: Path, labels: Mapping[str, int], listed: Sequence[int] | None) -> Iterator[Finding]:
    """Labels of versions that are not there, or that the entry does not list: a server refuses the whole file."""
    for label, version in sorted(labels.items()):
        names = f"{folder.name}: the label {label} -> {version} names a version that"
        if not (folder / str(version)).is_dir():
            yield error(
                "labels",
                f"{names} is not in {folder}.",
                "Point the label at a version that is there, or publish that one.",
            )
        elif listed is not None and version not in listed:
            numbers = ", ".join(map(str, listed)) or "none"
            yield error(
                "labels",
                f"{names} its model_version_policy does not list ({numbers}).",
                f"A server loads only what is listed. Add `versions: {version}` to it, or move the label.",
            )


def _other_folder(model: str, base_path: Path, folder: Path) -> Iterator[Finding]:
    """A base_path on this machine that is not the model's folder in the repository."""
    if not base_path.is_dir() or (folder.is_dir() and base_path.samefile(folder)):
        return
    advice = f"Write the folder that holds the versions: {folder.absolute()}"
    if (base_path / "saved_model.pb").exists():
        yield error(
            "models.config", f"{model}: the base_path {base_path} is a version, not their folder.", advice
        )
    elif not any(is_version(name) for name in folders_of(base_path)):
        yield error("models.config", f"{model}: the base_path {base_path} holds no version.", advice)
    else:
        yield warning(
            "models.config",
            f"{model}: the base_path {base_path} is another folder than {folder}, whose versions are checked here.",
            advice,
        )


def _is_there(base_path: Path, folder: Path) -> bool:
    """True when a server finds the path: on this machine, or in a container with the repository mounted at /models."""
    return (
        "://" in str(base_path)
        or base_path.is_dir()
        or (base_path == Path("/models", folder.name) and folder.is_dir())
    )


def folders_of(models: Path) -> list[str]:
    """The names of the folders in a folder, without hidden ones."""
    return sorted(
        entry.name for entry in models.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )


def near(name: str, known: list[str]) -> str:
    """A question for the user when a name is nearly a known one, else nothing."""
    found = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {found[0]!r}?" if found else ""
