"""The access log: one line of JSON for each request, in the file of `--access_log_file`."""

from __future__ import annotations

import json
import logging
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from atelier_serving.request_context import RequestContext

_log = logging.getLogger(__name__)

_STDOUT = "-"


class AccessLog:
    """Appends whole lines, so several processes may share the file. Raises `OSError` when it cannot be opened."""

    def __init__(self, path: str) -> None:
        """When `path` is "-", the log goes to standard output."""
        if path == _STDOUT:
            self._file = 1
        else:
            Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._failed = False

    def write(self, context: RequestContext, entrypoint: str, peer: str, trace_id: str | None) -> None:
        """Write a line for a request that has ended. Durations are in milliseconds."""
        took = time.perf_counter() - context.started + context.waited
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "peer": peer,
            "entrypoint": entrypoint,
            "method": context.method,
            "model": context.model,
            "version": context.version or None,
            "status": context.code,
            "trace_id": trace_id,
            "rows": context.rows,
            "batch_rows": context.batch or context.rows,
            "ms": round(took * 1e3, 3),
            "wait_ms": round(context.waited * 1e3, 3),
            "queue_ms": round(context.queued * 1e3, 3),
            "run_ms": round(context.ran * 1e3, 3),
        }
        try:
            os.write(self._file, json.dumps(line).encode() + b"\n")
        except OSError as error:
            # A full disk must not make requests fail. The log says it only once.
            if not self._failed:
                self._failed = True
                _log.error(f"The access log cannot be written: {error.strerror}.")
