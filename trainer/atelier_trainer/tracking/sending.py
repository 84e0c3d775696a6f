"""Sending in a process of its own, with a deadline: no server, however slow, keeps the caller longer."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

from atelier_trainer.errors import TrackingFailed
from atelier_trainer.tracking.address import shown

SECONDS = 60.0
# MLflow's own limits are 120 s a request and 7 retries, minutes in all. Whoever sets them otherwise is not overruled.
_LIMITS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "30",
}
# Nothing is told to anybody but the tracking server.
_SILENCE = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
_SHOWN = 300


def is_installed() -> bool:
    """True when the extra `mlflow` is installed. MLflow is not imported: that takes seconds."""
    try:
        return importlib.util.find_spec("mlflow") is not None
    except ImportError:
        return False


def send(task: str, uri: str, facts: dict[str, Any], seconds: float) -> Any:
    """Let another process do a task of `__main__.py`; return its answer. Raises `TrackingFailed`."""
    command = [sys.executable, "-m", "atelier_trainer.tracking"]
    environment = {**_LIMITS, **os.environ, **_SILENCE}
    try:
        done = subprocess.run(
            command,
            input=json.dumps({"task": task, "uri": uri, **facts}),
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TrackingFailed(f"{shown(uri)} did not take it within {seconds:g} s.") from None
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise TrackingFailed(f"Sending to {shown(uri)} failed: {last[:_SHOWN]}") from None
    if "error" in answer:
        raise TrackingFailed(f"{shown(uri)} did not take it: {answer['error'][:_SHOWN]}")
    return answer["done"]
