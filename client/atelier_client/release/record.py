"""rollouts.jsonl: what happened to the served versions, a JSON object a line, oldest first (docs/contracts.md)."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from atelier_client._files import read_bytes
from atelier_client.errors import DataError
from atelier_client.release.durable_files import locked, sync

Event = Literal[
    "taken_over",
    "started",
    "gated",
    "promoted",
    "rejected",
    "held",
    "aborted",
    "rolling_back",
    "rolled_back",
    "retired",
]
# After these the stable version is `to`.
MOVES = ("taken_over", "promoted", "rolled_back")
# After these a release is over.
ENDS = ("promoted", "rejected", "held", "aborted")


@dataclass(frozen=True)
class Entry:
    """One line.

    `time` is UTC, `who` did it, `from_version` and `to_version` are what stable was and became, or the candidate that
    was looked at; `verdict` is the gate's word, `metrics` its numbers, `reason` a sentence; `digests` are the SHA-256
    of the model cards of both, which hold those of all their files.
    """

    time: str
    who: str
    model: str
    event: Event
    from_version: int | None
    to_version: int | None
    verdict: str | None = None
    reason: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    def line(self) -> str:
        """The line in the file."""
        document = asdict(self)
        document["from"] = document.pop("from_version")
        document["to"] = document.pop("to_version")
        return json.dumps(document, allow_nan=False)


class Record:
    """The file of a model repository. It is only ever appended to.

    `damaged` is told of lines that are no entries, which are then passed over; without it they are an error.
    """

    def __init__(self, models: Path, damaged: Callable[[str], None] | None = None) -> None:
        self.path = models / "rollouts.jsonl"
        self._damaged = damaged
        self._lock = models / ".rollouts.lock"

    def append(self, entry: Entry) -> None:
        """Add a line; it is on disk when this returns. Raises `OSError` that names the file.

        What a writer that was killed left of a line is cut off, unless only its end was missing.
        """
        with locked(self._lock):
            try:
                self._append(entry)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.path)) from None

    def _append(self, entry: Entry) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o644)
        with os.fdopen(descriptor, "r+b") as handle:
            text = handle.read()
            _, _, torn = text.rpartition(b"\n")
            lead = b""
            if torn and _is_entry(torn):
                lead = b"\n"
            elif torn:
                handle.truncate(len(text) - len(torn))
            handle.write(lead + entry.line().encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
        sync(self.path.parent)

    def entries(self, model: str | None = None) -> list[Entry]:
        """The entries, oldest first; of one model when it is given.

        A torn last line is passed over. Raises `DataError` for any other line that is none.
        """
        try:
            lines = read_bytes(self.path).split(b"\n")
        except FileNotFoundError:
            return []
        found = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = _entry(json.loads(line))
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                if number == len(lines):
                    continue
                why = f"{error} is missing" if isinstance(error, KeyError) else error
                said = f"{self.path} is damaged: line {number} is no entry of a release ({why}). Take that line out."
                if self._damaged is None:
                    raise DataError(said) from None
                self._damaged(said)
                continue
            if model in (None, entry.model):
                found.append(entry)
        return found


def now() -> str:
    """The time, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def who() -> str:
    """Who runs this command: ATELIER_WHO, else user@host."""
    given = os.environ.get("ATELIER_WHO")
    if given:
        # Bytes that are no text would be no text in the record either.
        return os.fsencode(given).decode(errors="replace")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # In a container the user has no name.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _is_entry(line: bytes) -> bool:
    try:
        _entry(json.loads(line))
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    return True


def _entry(document: Any) -> Entry:
    """Raises `ValueError`, `TypeError` or `KeyError` for what is no entry. Keys that are not known are passed over."""
    if document["event"] not in get_args(Event):
        raise ValueError(f"unknown event {document['event']!r}")
    for name in ("from", "to"):
        if not isinstance(document[name], (int, type(None))) or isinstance(document[name], bool):
            raise ValueError(f"{name} is no version")
    for name in ("time", "who", "model"):
        if not isinstance(document[name], str):
            raise ValueError(f"{name} is no text")
    if datetime.fromisoformat(document["time"]).tzinfo is None:
        raise ValueError("time has no zone")
    return Entry(
        document["time"],
        document["who"],
        document["model"],
        document["event"],
        document["from"],
        document["to"],
        document.get("verdict"),
        str(document.get("reason") or ""),
        dict(document.get("metrics") or {}),
        dict(document.get("digests") or {}),
    )
