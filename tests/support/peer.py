"""A peer of a server: the official stubs, the models it serves, and what tests ask it again and again."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.support.server import RunningServer
from tests.support.toy_models import save_toy

FAST = ("--file_system_poll_wait_seconds=0.1", "--load_retry_interval_micros=100000")
ONCE = (*FAST, "--max_num_load_retries=0")
LOADING, AVAILABLE, END = 20, 30, 50
BOTH = "model_version_policy { specific { versions: 1 versions: 2 } }"
_numbers = itertools.count()


def entry(models: Path, name: str, extra: str = "", path: Path | None = None) -> str:
    """One model's entry of a ModelServerConfig."""
    path = path or models / name
    return f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" {extra} }}'


def fresh_name() -> str:
    """A model name that no other test has."""
    return f"toy{next(_numbers)}"


class Peer:
    """The official stubs on one server, and a folder of models for it."""

    def __init__(self, server: RunningServer, models: Path, name: str) -> None:
        self.server, self.models, self.name = server, models, name
        # A connection of its own, also beside other peers of the same server.
        self.channel = grpc.insecure_channel(server.grpc, options=[("grpc.use_local_subchannel_pool", 1)])
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.service = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def save(self, version: int, name: str | None = None, factor: float | None = None) -> Path:
        """Publish a version that multiplies by its number; return its folder."""
        return save_toy(self.models, name or self.name, version, float(version if factor is None else factor))

    def staged(self, name: str | None = None, factor: float = 1.0) -> Path:
        """A whole version under a name that is not looked at."""
        folder = self.save(999_999, name or "aside", factor)
        target = self.models / (name or self.name) / f".staging-{next(_numbers)}"
        target.parent.mkdir(exist_ok=True)
        return folder.rename(target)

    def publish(self, staged: Path, version: int, name: str | None = None) -> Path:
        """Let a staged version appear."""
        return staged.rename(self.models / (name or self.name) / str(version))

    def scale(
        self,
        version: int | None = None,
        label: str | None = None,
        name: str | None = None,
        timeout: float = 10,
    ) -> tuple[float, int]:
        """(answer for 1.0, version that gave it)"""
        message = predict_pb2.PredictRequest()
        message.model_spec.name = name or self.name
        if version:
            message.model_spec.version.value = version
        if label:
            message.model_spec.version_label = label
        message.inputs["x"].CopyFrom(tf.make_tensor_proto(np.ones(1, np.float32)))
        answer = self.prediction.Predict(message, timeout=timeout)
        return float(tf.make_ndarray(answer.outputs["y"])[0]), answer.model_spec.version.value

    def history(self, name: str | None = None) -> list[tuple[int, int, str]]:
        """(version, state, error) in the order of the answer; empty when the model is unknown."""
        message = get_model_status_pb2.GetModelStatusRequest()
        message.model_spec.name = name or self.name
        try:
            answer = self.service.GetModelStatus(message, timeout=10)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return []
            raise
        return [(e.version, e.state, e.status.error_message) for e in answer.model_version_status]

    def states(self, name: str | None = None) -> dict[int, int]:
        """Version to state."""
        return {version: state for version, state, _ in self.history(name)}

    def error(self, version: int, name: str | None = None) -> str:
        """The error a version ended with."""
        return {number: error for number, _, error in self.history(name)}[version]

    def config(self, *extra: str, name: str | None = None, path: Path | None = None) -> str:
        """The entry of this peer's model, or another's."""
        return entry(self.models, self.name if name is None else name, " ".join(extra), path)

    def reload(
        self, *entries: str, timeout: float = 20, metrics: Sequence[str] = ()
    ) -> model_management_pb2.ReloadConfigResponse:
        """HandleReloadConfigRequest with these entries."""
        message = model_management_pb2.ReloadConfigRequest(metric_names=metrics)
        text_format.Parse(f"model_config_list {{ {' '.join(entries)} }}", message.config)
        return self.service.HandleReloadConfigRequest(message, timeout=timeout)

    def wait(self, condition: Callable[[], object], seconds: float = 15) -> None:
        """Until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.history(), self.server.log_text()[-2000:])
            time.sleep(0.02)


def replace(path: Path, text: str) -> None:
    """Write a file so that no reader sees half of it."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    os.replace(beside, path)


def label(number: int, name: str = "stable") -> str:
    """The field of a model's entry that points a label at a version."""
    return f'version_labels {{ key: "{name}" value: {number} }}'


def refused(peer: Peer, *entries: str, **options: Any) -> tuple[grpc.StatusCode, str]:
    """The status that a reload with these entries is refused with."""
    with pytest.raises(grpc.RpcError) as error:
        peer.reload(*entries, **options)
    return error.value.code(), error.value.details() or ""
