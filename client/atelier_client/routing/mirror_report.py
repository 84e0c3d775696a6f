"""The report of a mirror: plain data, and the files that are made of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from atelier_client._files import write_text
from atelier_client.errors import SettingsError
from atelier_client.routing.mirror import Mirror


class Asked(Protocol):
    """What is told of a client."""

    model: str
    target: str


def report_of(client: Asked, mirror: Mirror | None) -> dict[str, Any]:
    """What the mirror has seen so far. Raises `SettingsError` when there is none."""
    if mirror is None:
        raise SettingsError(
            'This router mirrors nothing. Give it the label that gets copies: mirror="canary".'
        )
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return {"model": client.model, "target": client.target, "at": at, **mirror.report()}


def write(client: Asked, mirror: Mirror | None, folder: Path) -> None:
    """Write mirror.json and mirror.html. Raises `SettingsError` and `OSError`."""
    document = report_of(client, mirror)
    assert mirror is not None
    # What makes pages takes long to import, and who only routes does not need it.
    from atelier_client.report.mirror_page import as_html

    write_text(f"{json.dumps(document)}\n", folder / "mirror.json")
    write_text(
        as_html(document, [example.inputs for example in mirror.record.examples]), folder / "mirror.html"
    )
