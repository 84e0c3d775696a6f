"""The model that serving and client are measured with: fashion-dense, trained and served."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.row import BIN, timed
from benchmarks.server import Server, running_server


@dataclass(frozen=True)
class Served:
    """A running server, its flags, and the folders of its model and of the test images."""

    server: Server
    flags: tuple[str, ...]
    models: Path
    data: Path


@contextlib.contextmanager
def served_model(*flags: str) -> Iterator[Served]:
    """Train the default job and serve it with the flags until the block ends."""
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        models, data = Path(folder, "models"), Path(folder, "data")
        folders = ["--models", models, "--data", data, "--runs", Path(folder, "runs")]
        timed([BIN / "atelier-trainer", "train", "fashion-dense", *folders])
        with running_server(models, *flags) as server:
            yield Served(server, flags, models, data)
