"""A folder of images by class: `FOLDER/<class>/*.png`, as Keras's image_dataset_from_directory reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from atelier_client._files import require_file
from atelier_client._layout import LabelKind
from atelier_client.data.parts import Part
from atelier_client.data.table import Table
from atelier_client.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg")


class ImageFolderReader:
    """The encoded images under `image`, the folder's name under `label`, the path in the folder under `file`."""

    row_word = "image"
    label_kind: LabelKind | None = "names"

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        self._files = sorted(
            file
            for folder in path.iterdir()
            if folder.is_dir()
            for file in folder.iterdir()
            if file.suffix.lower() in SUFFIXES
        )
        for file in self._files:
            require_file(file)
        if not self._files:
            raise DataError(
                f"{path}: expected one folder a class with {', '.join(SUFFIXES)} files in it, found none. "
                "A folder of other data is named by one of its files."
            )
        self.rows: int | None = len(self._files)
        self.files = self._files

    def tables(self, rows: int) -> Iterator[Table]:
        """See `Reader`."""
        yield from self._tables(rows, self._files)

    def parts(self, rows: int) -> list[Part]:
        """See `PartsReader`: runs of files."""
        # A picture takes longer than a row of numbers.
        each = max(1, rows // 64)
        return [
            Part(0, block, first, first, min(each, len(self._files) - first), first)
            for block, first in enumerate(range(0, len(self._files), each))
        ]

    def tables_of(self, part: Part, rows: int) -> Iterator[Table]:
        """See `PartsReader`."""
        yield from self._tables(rows, self._files[part.at : part.at + part.rows])

    def _tables(self, rows: int, all_files: Sequence[Path]) -> Iterator[Table]:
        for first in range(0, len(all_files), rows):
            files = all_files[first : first + rows]
            images = np.empty(len(files), object)
            images[:] = [file.read_bytes() for file in files]
            yield {
                "image": images,
                "label": np.array([file.parent.name for file in files], object),
                "file": np.array([str(file.relative_to(self._path)) for file in files], object),
            }

    def sha256(self) -> str:
        """Digest of each file's path in the folder and its bytes, in the order of the paths."""
        digest = hashlib.sha256()
        for file in self._files:
            digest.update(str(file.relative_to(self._path)).encode() + b"\0")
            digest.update(file.read_bytes())
        return digest.hexdigest()
