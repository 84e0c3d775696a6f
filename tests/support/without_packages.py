"""An environment for subprocesses in which packages cannot be imported, as where an extra was not installed."""

from pathlib import Path

_BLOCKER = """
import sys


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None


sys.meta_path.insert(0, Blocker())
"""


def without_packages(folder: Path, *names: str) -> dict[str, str]:
    """The variables to set; `folder` holds what Python reads at its start."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_BLOCKER.format(names=set(names)))
    return {"PYTHONPATH": str(folder)}
