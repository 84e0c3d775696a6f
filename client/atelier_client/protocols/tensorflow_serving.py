"""TensorFlow Serving's protocol (tensorflow_serving/apis of 2.20), over gRPC or REST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from atelier_client._routine import Routine
from atelier_client.messages.requests import PredictFrame, metadata_request, predict_frame, status_request
from atelier_client.protocols.base import Send
from atelier_client.responses import VersionStatus, outputs_of, read_status
from atelier_client.signature import Signature, choose, from_metadata
from atelier_client.transports.base import METADATA, PREDICT, STATUS, Method


class _TensorFlowServing:
    """See `Protocol`."""

    predict = PREDICT
    idle = STATUS
    any_version = None

    def frame(
        self, model: str, signature: str, version: int | None, label: str | None, outputs: tuple[str, ...]
    ) -> PredictFrame:
        return predict_frame(model, signature, version, label, outputs)

    def idle_request(self, model: str) -> bytes:
        return status_request(model)()

    def read(self, response: Any) -> tuple[dict[str, NDArray[Any]], int]:
        return outputs_of(response), response.model_spec.version.value

    def check(self, method: Method, target: str) -> None:
        """It has them all."""

    def metadata(
        self, send: Send, model: str, version: int | None, label: str | None
    ) -> Routine[tuple[dict[str, Signature], int]]:
        response = yield from send(METADATA, metadata_request(model, version, label)())
        return from_metadata(response), int(response.model_spec.version.value)

    def choose(self, served: Mapping[str, Signature], name: str) -> Signature:
        return choose(served, name)

    def version_of(self, send: Send, model: str, label: str) -> Routine[int]:
        response = yield from send(METADATA, metadata_request(model, None, label)())
        return int(response.model_spec.version.value)

    def status(self, send: Send, model: str) -> Routine[list[VersionStatus]]:
        return read_status((yield from send(STATUS, status_request(model)())))


TENSORFLOW_SERVING = _TensorFlowServing()
