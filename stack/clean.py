"""`make clean`: stop the service and remove what the other commands made. Files of somebody else are named and kept."""

from __future__ import annotations

import shutil
from pathlib import Path

from stack import made
from stack import state as states
from stack.console import note
from stack.engines import engine as engines
from stack.engines import venv
from stack.settings import Settings

NAMED = 10


def clean(settings: Settings) -> None:
    """Remove models, data, reports, runs, .venv, .atelier and the containers' volumes; FORCE=1 the user's files too."""
    root = settings.root
    with states.exclusive(settings.state_dir):
        state = states.load(settings.state_dir)
        if state:
            engines.of_state(settings, state).stop(state)
        else:
            engines.stop_forgotten(settings)
        used_containers = shutil.which("docker") or (settings.state_dir / "images.json").exists()
        unreached = engines.clean_all(settings, state)
        with venv.alone(root):
            found = made.sort(root)
            made.remove(found.made + (found.kept if settings.force else []))
            made.remove_empty(root)
    volumes = "." if unreached else ", and the containers' volumes."
    note(f"Removed what make had written: models, data, reports, runs, .venv, .atelier{volumes}")
    if unreached and used_containers:
        note(
            f"Not removed: this checkout's containers and volumes, if it has any, because {unreached}. "
            "`make clean` again when it does."
        )
    if found.kept and not settings.force:
        _name(root, found.kept)


def _name(root: Path, kept: list[Path]) -> None:
    note("Kept, because make did not write it:")
    for path in kept[:NAMED]:
        files = f"/  (files: {_count(path)})" if path.is_dir() and not path.is_symlink() else ""
        note(f"  {path.relative_to(root)}{files}")
    if len(kept) > NAMED:
        note(f"  and {len(kept) - NAMED} more")
    note("`make clean FORCE=1` removes that too.")


def _count(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))
