"""Which files under the checkout's folders the components wrote: those with the names that docs/contracts.md states."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from stack.served import base_paths, models_of

FOLDERS = ("models", "data", "reports", "runs", "feedback", ".atelier")
# A component writes a new file under such a name first, and then renames it to its final name.
_NEW = r"\.[0-9a-f]{32}\.new"
_FILES = {
    "models": rf"(models\.config|traffic\.json)({_NEW})?|rollouts\.jsonl|\.(models\.config|rollouts|traffic)\.lock"
    rf"|[^/]+/\.((publish|release)\.lock|last-version({_NEW})?)|[^/]+/\.staging-[^/]+\.lock",
    "data": r"[^/]+/\.lock|fashion-mnist/(train|t10k)-(images-idx3|labels-idx1)-ubyte"
    rf"|imdb/((train|test)\.csv|sha256\.json({_NEW})?)"
    r"|[^/]+/(\.writing-)?test-[0-9a-f]{12}-\d+\.(npz|csv)",
    "reports": r"(evaluation|diff|drift|bench|tuning|tuned)\.(html|json|csv|xml)|batching\.config"
    rf"|\.[^/]+\.(html|json|csv|xml|config)\.[0-9a-f]{{32}}|compare-[^/]+{_NEW}",
    # MLflow's database, and the artefacts beside it (docs/tracking.md): copies of what the runs hold.
    "runs": r"mlflow\.db|mlflow-artifacts/.+",
    # Labels that people have given: nothing makes them again.
    "feedback": r"",
    # Prometheus and Grafana name the files of their data themselves.
    ".atelier": r"(venv\.)?lock|(state|images)\.json(\.new)?|console\.token(\.new)?|logs/[^/]+\.log"
    r"|requests/[^/]+\.tfrecord|(serving|console|prometheus|grafana)\.log|(observe|prometheus|grafana)/.+",
}
# Inside of a folder that is a version or a run, which its card or its lock shows.
_VERSION = (
    r"(saved_model|fingerprint|keras_metadata)\.pb|variables/variables\.[^/]+|assets/.+"
    r"|assets\.extra/(tf_serving_warmup_requests|(model_card|reference)\.json|golden\.npz)"
)
_RUN = (
    rf"\.lock|(run\.json|history\.(json|csv|png)|vocabulary\.txt)({_NEW})?"
    r"|(checkpoints|best)/(checkpoint|ckpt-\d).*|tensorboard/.*events\.out\.tfevents\..*"
)


@dataclass
class Sorted:
    """The paths to remove, and those that somebody else wrote."""

    made: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)


def sort(root: Path) -> Sorted:
    """Sort what is in the folders. A folder stands for all that is in it; a symbolic link counts as the user's."""
    found = Sorted()
    for name in FOLDERS:
        folder = root / name
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            found.kept.append(folder)
        elif folder.is_dir():
            found.kept += _sort(folder, folder, found.made)
    config = root / "models" / "models.config"
    if config in found.made and _is_users(config, [path for path in found.kept if path.is_dir()]):
        found.made.remove(config)
        found.kept.append(config)
    for environment in sorted(root.glob(".venv*")):
        # The stamp of venv.py: without it somebody else made the environment.
        own = not environment.is_symlink() and (environment / "atelier-installed").is_file()
        (found.made if own else found.kept).append(environment)
    return found


def remove(paths: list[Path]) -> None:
    """Remove files and folders, never what a link points to. Raises `OSError`."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def remove_empty(root: Path) -> None:
    """Remove the folders that have nothing left in them, those of `FOLDERS` included. A link is not gone through."""
    for name in FOLDERS:
        if (root / name).is_symlink():
            continue
        for parent, _, _ in os.walk(root / name, topdown=False):
            if not os.listdir(parent):
                os.rmdir(parent)


def _sort(folder: Path, top: Path, made: list[Path]) -> list[Path]:
    """Add what components made under `folder` to `made`; return the rest.

    Where they made nothing, `folder` itself is returned for all that is in it.
    """
    kept: list[Path] = []
    before = len(made)
    for path in sorted(folder.iterdir()):
        if _is_made(path, top):
            made.append(path)
        elif path.is_dir() and not path.is_symlink():
            kept += _sort(path, top, made)
        else:
            kept.append(path)
    return [folder] if kept and len(made) == before and folder != top else kept


def _is_made(path: Path, top: Path) -> bool:
    if path.is_symlink():
        return False
    name = str(path.relative_to(top))
    parts = name.split("/")
    if path.is_dir():
        staging = top.name == "models" and len(parts) == 2 and parts[1].startswith((".staging-", ".retired-"))
        fetching = top.name == "data" and len(parts) == 2 and parts[1].startswith(".fetching-")
        return staging or fetching or (top.name == ".atelier" and name.startswith(("base-", "image-")))
    if top.name == "reports" and (pair := re.fullmatch(r"compare-.+\.(png|json)", name)):
        # The trainer writes the picture and its numbers together; one alone is somebody's own.
        return path.with_suffix(".json" if pair[1] == "png" else ".png").is_file()
    inside = "/".join(parts[2:])
    if top.name == "models" and re.fullmatch(_VERSION, inside):
        return _has_card(top / parts[0] / parts[1])
    if top.name == "runs" and re.fullmatch(_RUN, inside):
        run = top / parts[0] / parts[1]
        return run.name.isdecimal() and ((run / "run.json").is_file() or (run / ".lock").is_file())
    return path.is_file() and bool(re.fullmatch(_FILES[top.name], name))


def _has_card(version: Path) -> bool:
    """True for a version that the trainer published."""
    return version.name.isdecimal() and (version / "assets.extra" / "model_card.json").is_file()


def _is_users(config: Path, kept: list[Path]) -> bool:
    """True for a models.config with something of the user's: a comment, or a model that the trainer did not write."""
    text = config.read_text(encoding="utf-8", errors="replace")
    models = config.parent
    theirs = {folder.relative_to(models).parts[0] for folder in kept if models in folder.parents}
    elsewhere = [path for path in base_paths(text) if Path(path).parent != models.resolve()]
    return "#" in text or bool(elsewhere) or bool(theirs.intersection(models_of(text)))
