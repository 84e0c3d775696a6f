"""The seam between what is asked and what carries it: gRPC, REST, or a function in memory (atelier_client.testing)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from atelier_client.protos import serving_pb2 as pb


@dataclass(frozen=True, eq=False)
class Method:
    """One call of the wire: its path, its messages."""

    name: str
    path: str
    request: Any
    response: Any


PREDICT = Method(
    "predict", "/tensorflow.serving.PredictionService/Predict", pb.PredictRequest, pb.PredictResponse
)
CLASSIFY = Method(
    "classify",
    "/tensorflow.serving.PredictionService/Classify",
    pb.ClassificationRequest,
    pb.ClassificationResponse,
)
REGRESS = Method(
    "regress", "/tensorflow.serving.PredictionService/Regress", pb.RegressionRequest, pb.RegressionResponse
)
METADATA = Method(
    "metadata",
    "/tensorflow.serving.PredictionService/GetModelMetadata",
    pb.GetModelMetadataRequest,
    pb.GetModelMetadataResponse,
)
STATUS = Method(
    "status",
    "/tensorflow.serving.ModelService/GetModelStatus",
    pb.GetModelStatusRequest,
    pb.GetModelStatusResponse,
)
RELOAD = Method(
    "reload",
    "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
    pb.ReloadConfigRequest,
    pb.ReloadConfigResponse,
)
METHODS = (PREDICT, CLASSIFY, REGRESS, METADATA, STATUS, RELOAD)


class Transport(Protocol):
    """Carries one call to one server; thread-safe."""

    def call(self, method: Method, request: bytes, timeout: float) -> Any:
        """The answer to a serialized request, a message, within `timeout` seconds. Raises `ServerError`."""

    def close(self) -> None:
        """Let go of connections; calls under way end."""


class AsyncTransport(Protocol):
    """The same for an event loop."""

    async def call(self, method: Method, request: bytes, timeout: float) -> Any:
        """As `Transport.call`."""

    async def close(self) -> None:
        """Let go of connections; calls under way end."""
