"""The examples to measure a model on: a file of the user's, or the test split that its model card names."""

from __future__ import annotations

from pathlib import Path

from atelier_client.data.open import open_reader
from atelier_client.data.table import Reader
from atelier_client.errors import DataError
from atelier_client.model_card import FASHION_MNIST, ModelCard

KNOWN = (FASHION_MNIST, "imdb")


def open_test_split(data: Path, card: ModelCard) -> Reader:
    """The test examples of a model, in the data folder. Raises `DataError`."""
    path = data / card.test_file["path"]
    if not path.exists() and card.test_file["format"] != "idx":
        known = path.parent.name if path.parent.name in KNOWN else "NAME"
        raise DataError(f"{path} is missing. `make up` writes it, or: atelier-trainer data fetch {known}.")
    if card.test_file["format"] == "idx":
        from atelier_client.data.idx import open_test_files

        return open_test_files(path)
    return open_reader(path)
