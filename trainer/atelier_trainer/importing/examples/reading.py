"""Which file of examples is of which format."""

from __future__ import annotations

import stat
from pathlib import Path

from atelier_trainer.errors import ImportRefused
from atelier_trainer.importing.examples import arrays, pictures, table
from atelier_trainer.importing.examples.given import Given
from atelier_trainer.publishing.model_signature import Signature

EXPECTED = "a .csv (or .csv.gz), an .npz, or a folder with one folder of PNG or JPEG files a class"


def read(path: Path, signature: Signature, label_column: str | None, *, rescales: bool | None) -> Given:
    """The examples as the signature takes them. Raises `ImportRefused` and `DataInvalid`."""
    require_format(path)
    if path.is_dir():
        if label_column:
            raise ImportRefused(
                f"--label-column {label_column}: the labels of a folder of pictures are its folders."
            )
        return pictures.read(path, signature, rescales)
    if path.suffix.lower() == ".npz":
        return arrays.read(path, signature, label_column)
    return table.read(path, signature, label_column)


def require_format(path: Path) -> None:
    """Raises `ImportRefused` for examples that are not there, or of a format that is known to be another."""
    if not path.exists():
        raise ImportRefused(f"{path} does not exist; expected {EXPECTED}.")
    if path.is_dir():
        return
    if not stat.S_ISREG(path.stat().st_mode):
        raise ImportRefused(f"{path} is no regular file; expected {EXPECTED}.")
    if not path.name.lower().endswith((".csv", ".csv.gz", ".npz")):
        raise ImportRefused(f"{path} is of no format known by its name; expected {EXPECTED}.")
