"""The sending process: a task as JSON on stdin, one line of JSON on stdout. Only here is MLflow imported."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from atelier_trainer.errors import AtelierTrainerError


def _do(given: dict[str, Any]) -> Any:
    from mlflow import MlflowClient

    from atelier_trainer.tracking import aliases, mlflow_store

    client = MlflowClient(given["uri"])
    if given["task"] == "aliases":
        return {model: aliases.mirror(client, model, labels) for model, labels in given["labels"].items()}
    models = Path(given["models"])
    return [
        mlflow_store.store(client, given["uri"], Path(run), models, copy_model=given["copy_model"])
        for run in given["runs"]
    ]


def main() -> None:
    """Do the task. Whatever fails is the answer's `error`, in one line."""
    given = json.load(sys.stdin)
    try:
        answer = {"done": _do(given)}
    except AtelierTrainerError as error:
        answer = {"error": str(error)}
    except Exception as error:
        text = " ".join(str(error).split())
        answer = {"error": text or type(error).__name__}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
