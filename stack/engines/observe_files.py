"""What Prometheus and Grafana read: copies of deploy/observe in `.atelier/observe`, and what differs by engine.

They are copies because a container's user must be able to read them, whatever the checkout's rights are.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from stack import files
from stack.settings import Settings, container_user

# As in compose.observe.yaml, and beside prometheus.yml.
TOKEN = "console.token"


def write(settings: Settings, serving: list[str], console: str | None, token: str = "") -> Path:
    """Write them; return the folder. `serving` are the HOST:PORT of the servers, `console` that of the console.

    `token` is the console's. Raises `OSError`.
    """
    source = settings.root / "deploy" / "observe"
    folder = settings.state_dir / "observe"
    for path in (source / "monitoring.config", *sorted(source.glob("prometheus/*"))):
        _put(folder / path.relative_to(source), path.read_text(encoding="utf-8"))
    for path in sorted((source / "grafana").rglob("*")):
        if path.is_file():
            _put(folder / path.relative_to(source), path.read_text(encoding="utf-8"))
    targets = {"serving": serving, "console": [console] if console else []}
    for name, addresses in targets.items():
        _put(folder / "prometheus" / f"{name}.json", json.dumps([{"targets": addresses}]) + "\n")
    _put(folder / "prometheus" / TOKEN, token, mode=0o600)
    return folder


def _put(path: Path, text: str, mode: int = 0o644) -> None:
    for folder in reversed([parent for parent in path.parents if not parent.exists()]):
        files.make_folder(folder)
        folder.chmod(0o755)
    files.replace(path, text, mode)
    if not os.getuid():
        # Else the container's user could not read a file that is nobody else's.
        os.chown(path, *container_user(), follow_symlinks=False)
