"""traffic.json: the share of the requests that routers send to each label while a release ramps up (docs/contracts.md).

    {"shoes": {"stable": 99, "canary": 1}}

A model that is not in it, or no file, means that everything goes to `stable`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from atelier_client.errors import DataError
from atelier_client.release.durable_files import locked, read_text, replace


class TrafficFile:
    """The file of a model repository; it is replaced in one step."""

    def __init__(self, models: Path) -> None:
        self.path = models / "traffic.json"
        self._lock = models / ".traffic.lock"

    def set(self, model: str, weights: Mapping[str, float]) -> None:
        """Let routers that follow the file split the model's requests so."""
        with locked(self._lock):
            replace(self.path, json.dumps({**self._read(), model: dict(weights)}) + "\n")

    def clear(self, model: str) -> None:
        """Send everything to `stable` again."""
        if not self.path.exists():
            return
        with locked(self._lock):
            document = self._read()
            if document.pop(model, None) is not None:
                replace(self.path, json.dumps(document) + "\n")

    def _read(self) -> dict[str, object]:
        text = read_text(self.path)
        try:
            document = json.loads(text) if text else {}
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise DataError(
                f"{self.path} is damaged: expected an object of models and their weights. Remove it."
            )
        return document
