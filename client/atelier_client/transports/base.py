"""The interface of a transport. Transports are gRPC, REST, and a function in memory (atelier_client.testing)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from atelier_client.protos import serving_pb2 as pb


@dataclass(frozen=True, eq=False)
class Method:
    """One method of the protocol: its path and its messages."""

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
    """Carries calls to one server. Thread-safe."""

    def call(self, method: Method, request: bytes, timeout: float, traceparent: str | None = None) -> Any:
        """Send a serialized request; return the response message within `timeout` seconds. Raises `ServerError`.

        `traceparent` goes with it as metadata or header.
        """

    def close(self) -> None:
        """Close the connections. Calls that are running end."""


class AsyncTransport(Protocol):
    """A `Transport` for an asyncio event loop."""

    async def call(
        self, method: Method, request: bytes, timeout: float, traceparent: str | None = None
    ) -> Any:
        """As `Transport.call`."""

    async def close(self) -> None:
        """Close the connections. Calls that are running end."""
