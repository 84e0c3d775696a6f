"""The server's log: `logging` with one handler for each process, on standard error.

Modules log with `logging.getLogger(__name__)`. Levels: INFO for what the server does, WARNING for what it gets over (a
load that is tried again, a worker that is replaced), ERROR for what it cannot get over by itself.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

TEXT = "text"
JSON = "json"
FORMATS = (TEXT, JSON)

# Control characters, which a terminal obeys: names and errors come from files and clients. A line stays one line.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class _TextFormatter(logging.Formatter):
    """A line a record: the local time, and the message without control characters."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)


class _JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC, ISO 8601), level, logger, message, and exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document)


def printable(text: str) -> str:
    """The text with control characters as escapes: `\\n`, `\\x1b`."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text).encode("utf-8", "backslashreplace").decode()


def configure(form: str) -> None:
    """Send this process's log to standard error as `form`, one of FORMATS; an earlier handler is replaced.

    Libraries (uvicorn, grpcio) come into the same log from WARNING on.
    """
    handler = logging.StreamHandler()
    if form == JSON:
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(_TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    logging.getLogger("atelier_serving").setLevel(logging.INFO)
