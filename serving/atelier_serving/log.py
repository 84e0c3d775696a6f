"""The server's log: `logging` with one handler for each process, on standard error.

Modules log with `logging.getLogger(__name__)`. Levels: INFO for what the server does, WARNING for what it gets over (a
load that is tried again, a worker that is replaced), ERROR for what it cannot get over by itself.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

TEXT = "text"
JSON = "json"
FORMATS = (TEXT, JSON)


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


def configure(form: str) -> None:
    """Send this process's log to standard error as `form`, one of FORMATS; an earlier handler is replaced.

    Libraries (uvicorn, grpcio) come into the same log from WARNING on.
    """
    handler = logging.StreamHandler()
    if form == JSON:
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    root = logging.getLogger()
    root.handlers = [handler]
    logging.getLogger("atelier_serving").setLevel(logging.INFO)
