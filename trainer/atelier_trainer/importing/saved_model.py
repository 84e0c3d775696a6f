"""A SavedModel that is taken over as it is: its signatures, variables, tables and assets are copied."""

from __future__ import annotations

import shutil
from pathlib import Path

from atelier_trainer.errors import ImportRefused
from atelier_trainer.importing.source import Source, files_of
from atelier_trainer.publishing.model_signature import read_graph


def copy(source: Source, folder: Path) -> str:
    """Copy the files into `folder`; return the TensorFlow that saved them. Raises `ImportRefused` and `OSError`."""
    graph = read_graph(source.path)
    index = source.path / "variables" / "variables.index"
    parts = list((source.path / "variables").glob("variables.data-*"))
    if index.exists() != bool(parts):
        raise ImportRefused(
            f"{source.path / 'variables'} has one of variables.index and variables.data-* without the other: the "
            "copy is not "
            "whole."
        )
    for name, path in files_of(source.path):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    (folder / "assets").mkdir(exist_ok=True)
    return f"tensorflow {graph.meta_info_def.tensorflow_version or 'unknown'}"
