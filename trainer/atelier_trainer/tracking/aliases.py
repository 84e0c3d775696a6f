"""The labels of a release as aliases of MLflow's registered versions. They are written there, and never read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from atelier_trainer.tracking.mlflow_store import find_version


def mirror(client: MlflowClient, model: str, labels: Mapping[str, int | None]) -> dict[str, Any]:
    """Set the alias of each label, take away that of a label without a version; return MLflow's number by label.

    A version that is not registered there leaves its label without an alias: one of another version would be a lie.
    """
    done: dict[str, Any] = {}
    for label, number in labels.items():
        found = None if number is None else find_version(client, model, number)
        if found is not None:
            client.set_registered_model_alias(model, label, found.version)
        else:
            _remove(client, model, label)
        done[label] = {"version": number, "mlflow_version": found and str(found.version)}
    return done


def _remove(client: MlflowClient, model: str, label: str) -> None:
    try:
        client.delete_registered_model_alias(model, label)
    except MlflowException as error:
        # A model of which nothing was ever registered has no aliases either.
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
