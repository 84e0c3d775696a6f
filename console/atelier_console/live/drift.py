"""What the last `atelier-client drift` found: reports/drift.json (docs/contracts.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier_client._files import read_bytes
from atelier_client.errors import DataError

from atelier_console.texts import say

NAME = "drift.json"


@dataclass(frozen=True)
class Drift:
    """The verdict and its sentence, when it was found, and the newest window's accuracies (shares; None is unknown)."""

    model: str
    version: int
    at: str
    verdict: str
    sentence: str
    estimated: float | None
    realised: float | None


def read_document(reports: Path) -> Mapping[str, Any] | None:
    """The whole document; None when there is none. Raises `DataError` for a damaged file."""
    path = reports / NAME
    try:
        document = json.loads(read_bytes(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(say("drift_damaged", path=path, why=error)) from None
    if not isinstance(document, dict):
        raise DataError(say("drift_damaged", path=path, why=type(document).__name__))
    return document


def read_drift(reports: Path, model: str) -> Drift | None:
    """What was found of a model; None when nothing was. Raises `DataError` for a damaged file."""
    document = read_document(reports)
    if document is None:
        return None
    try:
        if document["model"]["name"] != model:
            return None
        windows = [one for one in document["windows"] if one["whole"]] or document["windows"]
        accuracy = windows[-1]["accuracy"] if windows else {}
        return Drift(
            model,
            int(document["model"]["version"]),
            str(document["at"]),
            str(document["verdict"]),
            str(document["sentence"]),
            _share(accuracy.get("estimated")),
            _share(accuracy.get("realised")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(say("drift_damaged", path=reports / NAME, why=error)) from None


def _share(value: Any) -> float | None:
    return None if value is None else float(value)
