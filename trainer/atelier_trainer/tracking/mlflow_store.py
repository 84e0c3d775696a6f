"""A run's record, written into MLflow. Repeated it changes nothing: what is there already is not written twice."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE
from mlflow.utils.validation import (
    MAX_DATASET_DIGEST_SIZE,
    MAX_METRICS_PER_BATCH,
    MAX_PARAM_VAL_LENGTH,
    MAX_PARAMS_TAGS_PER_BATCH,
)

from atelier_trainer.errors import TrackingFailed
from atelier_trainer.file_lock import try_lock
from atelier_trainer.publishing.version_folder import CARD
from atelier_trainer.tracking.address import artifact_folder
from atelier_trainer.tracking.record import Epoch, Record, Version, read_record
from atelier_trainer.training.run import Run

RUN_ID = "atelier.run_id"
VERSION = "atelier.version"
_MODEL_FOLDER = "model"


def store(client: MlflowClient, uri: str, folder: Path, models: Path, *, copy_model: bool) -> dict[str, Any]:
    """Write one run, and register the version that it published; return where it is now.

    `copy_model` uploads the whole SavedModel; else only its card is, and the tag `atelier.saved_model` says where it
    lies. Raises `MlflowException`, and what reading the run raises.
    """
    lock = try_lock(folder / ".lock")
    if lock is None:
        raise TrackingFailed(f"Another command is at work on {folder}; try again when it has ended.")
    with lock:
        return _store(client, uri, read_record(Run(folder), models), copy_model)


def _store(client: MlflowClient, uri: str, record: Record, copy_model: bool) -> dict[str, Any]:
    experiment = _experiment(client, uri, record.model)
    run = _run(client, experiment, record)
    run_id = run.info.run_id
    parameters = [Param(name, value[:MAX_PARAM_VAL_LENGTH]) for name, value in record.parameters.items()]
    for start in range(0, len(parameters), MAX_PARAMS_TAGS_PER_BATCH):
        client.log_batch(run_id, params=parameters[start : start + MAX_PARAMS_TAGS_PER_BATCH])
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in record.tags.items()])
    client.log_inputs(run_id, _inputs(record))
    _metrics(client, run_id, record)
    for path in record.files:
        client.log_artifact(run_id, str(path))
    registered = record.version and _register(client, run_id, record.version, copy_model)
    client.set_terminated(run_id, "FINISHED", record.ended)
    return {
        "run": record.name,
        "mlflow_run": run_id,
        "model": record.model,
        "version": record.version and record.version.number,
        "mlflow_version": registered,
    }


def _experiment(client: MlflowClient, uri: str, model: str) -> str:
    """The experiment MLFLOW_EXPERIMENT_NAME, else that of the model's name; made when there is none."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or model
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_folder(uri)))
        except MlflowException:
            # Another process may have made it meanwhile.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise MlflowException(
            f"The experiment {name} is deleted there; restore it (mlflow experiments restore)."
        )
    return str(found.experiment_id)


def _run(client: MlflowClient, experiment: str, record: Record) -> MlflowRun:
    """The tracker's run of this record, found by our id, which no other run has."""
    found = client.search_runs([experiment], f"tags.`{RUN_ID}` = '{record.id}'", max_results=1)
    if found:
        return found[0]
    tags = {
        RUN_ID: record.id,
        MLFLOW_SOURCE_NAME: f"atelier-trainer train {record.name.partition('/')[0]}",
        MLFLOW_SOURCE_TYPE: "JOB",
    }
    return client.create_run(experiment, record.started, tags, run_name=record.name)


def _inputs(record: Record) -> list[DatasetInput]:
    """The splits as inputs of the run. MLflow's digest is short, so the whole one is in the profile."""
    return [
        DatasetInput(
            Dataset(
                # Both splits may come from one file: then only the name tells them apart.
                name=f"{record.data_name} {split.name}",
                digest=split.sha256[:MAX_DATASET_DIGEST_SIZE],
                source_type="atelier",
                source=json.dumps({"data": record.data_name, "run": record.name}),
                profile=json.dumps({"examples": split.examples, "sha256": split.sha256}),
            ),
            [InputTag(MLFLOW_DATASET_CONTEXT, split.context)],
        )
        for split in record.splits
    ]


def _metrics(client: MlflowClient, run_id: str, record: Record) -> None:
    """Send the epochs that are not there yet. A batch holds whole epochs, so the last step tells where to go on."""
    there = _last_step(client, run_id, record.epochs)
    points = [_points(epoch) for epoch in record.epochs if epoch.step > there]
    batch: list[Metric] = []
    for epoch in points:
        if len(batch) + len(epoch) > MAX_METRICS_PER_BATCH:
            client.log_batch(run_id, metrics=batch)
            batch = []
        batch += epoch
    if batch:
        client.log_batch(run_id, metrics=batch)
    last = record.epochs[-1].step if record.epochs else 0
    known = client.get_run(run_id).data.metrics
    results = [
        Metric(name, value, record.ended, last)
        for name, value in record.results.items()
        if known.get(name) != value
    ]
    if results:
        client.log_batch(run_id, metrics=results)


def _points(epoch: Epoch) -> list[Metric]:
    return [Metric(name, float(value), epoch.time, epoch.step) for name, value in epoch.metrics.items()]


def _last_step(client: MlflowClient, run_id: str, epochs: list[Epoch]) -> int:
    if not epochs:
        return 0
    history = client.get_metric_history(run_id, next(iter(epochs[0].metrics)))
    return max((point.step for point in history), default=0)


def _register(client: MlflowClient, run_id: str, version: Version, copy_model: bool) -> str:
    """Register a version of the model, once; return MLflow's number of it, which may be another than ours."""
    if copy_model:
        client.log_artifacts(run_id, str(version.folder), _MODEL_FOLDER)
    else:
        client.log_artifact(run_id, str(version.folder / CARD), _MODEL_FOLDER)
    try:
        client.create_registered_model(version.model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    registered = find_version(client, version.model, version.number)
    if registered is None:
        made = client.create_model_version(
            version.model,
            f"runs:/{run_id}/{_MODEL_FOLDER}",
            run_id,
            version.tags,
            description=f"{version.model} version {version.number}, SavedModel at {version.folder}",
            await_creation_for=0,
        )
        return str(made.version)
    for name, value in version.tags.items():
        if registered.tags.get(name) != value:
            client.set_model_version_tag(version.model, registered.version, name, value)
    return str(registered.version)


def find_version(client: MlflowClient, model: str, number: int) -> Any:
    """The registered version that has our number as its tag, None without one."""
    token = None
    while True:
        page = client.search_model_versions(f"name = '{model}'", page_token=token)
        for found in page:
            if found.tags.get(VERSION) == str(number):
                return found
        token = page.token
        if not token:
            return None
