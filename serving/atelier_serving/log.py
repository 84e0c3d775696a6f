"""The server's log: `logging` with one handler for each process, on standard error.

Modules log with `logging.getLogger(__name__)`. Levels: INFO is for what the server does, WARNING for problems that it
solves itself (it tries a load again, it replaces a worker), ERROR for problems that it cannot solve.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

TEXT = "text"
JSON = "json"
FORMATS = (TEXT, JSON)

# Control characters. Names and errors come from files and clients; they must not control a terminal or add lines.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class _TextFormatter(logging.Formatter):
    """One line for each record: the local time, and the message without control characters."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)


class _JsonFormatter(logging.Formatter):
    """One JSON object on each line: time (UTC, ISO 8601), level, logger, message, and exception when there is one."""

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
    """Write this process's log to standard error in the format `form`, one of FORMATS. Replaces an earlier handler.

    The same log has the records of libraries (uvicorn, grpcio) from WARNING on.
    """
    handler = logging.StreamHandler()
    if form == JSON:
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(_TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    logging.getLogger("atelier_serving").setLevel(logging.INFO)
