"""Images that are built here, and whether one still fits its component's folder, found out without starting a build."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from stack import files
from stack.engines import docker

# As in the components' .dockerignore files.
_IGNORED_FOLDERS = ("__pycache__",)
_IGNORED_SUFFIXES = (".pyc",)


class Built:
    """Remembers, in `.atelier/images.json`, which image came from which content of a component's folder."""

    def __init__(self, root: Path, state_dir: Path) -> None:
        self._root = root
        self._file = state_dir / "images.json"
        self._known: dict[str, dict[str, str]] = {}
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(files.read_text(self._file))
            self._known = known if isinstance(known, dict) else {}

    def is_current(self, service: str, image: str, how: str) -> bool:
        """True when the engine's image is the one that was built of this content, in the way `how`."""
        known = self._known.get(image)
        if not isinstance(known, dict) or known.get("content") != self._content(service, how):
            return False
        return known.get("id") == image_id(image)

    def remember(self, service: str, image: str, how: str) -> None:
        """Note the image that the engine has now."""
        self._known[image] = {"content": self._content(service, how), "id": image_id(image)}
        files.replace(self._file, json.dumps(self._known, indent=1) + "\n")

    def _content(self, service: str, how: str) -> str:
        digest = hashlib.sha256(how.encode())
        for path in sorted(_files(self._root / service)):
            digest.update(f"{path.relative_to(self._root)}\0{path.stat().st_mode & 0o777:o}\0".encode())
            digest.update(path.read_bytes() + b"\0")
        return digest.hexdigest()


def image_id(image: str) -> str:
    """The engine's id of an image; empty when it has none of that name."""
    return docker.ask("image", "inspect", "--format", "{{.Id}}", image).stdout.strip()


def _files(folder: Path) -> list[Path]:
    return [
        Path(parent, name)
        for parent, _, names in os.walk(folder)
        if Path(parent).name not in _IGNORED_FOLDERS
        for name in names
        if not name.endswith(_IGNORED_SUFFIXES)
    ]
