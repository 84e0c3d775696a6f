"""The test split of a model card: the examples that the trainer tested the model on."""

from __future__ import annotations

from pathlib import Path

from atelier_client._model_card import ModelCard
from atelier_client.data.idx import open_test_files
from atelier_client.data.open import open_reader
from atelier_client.data.table import Reader
from atelier_client.errors import DataError


def open_test_split(data: Path, card: ModelCard) -> Reader:
    """The test examples of a model, in the data folder. Raises `DataError`."""
    path = data / card.test_file["path"]
    if card.test_file["format"] == "idx":
        return open_test_files(path)
    if not path.exists():
        raise DataError(
            f"{path}, the test split that the model card names, is missing. The trainer writes it (make up). "
            "Name the folder it is in (--data DIR), or give a FILE of examples."
        )
    return open_reader(path, card.test_layout)
