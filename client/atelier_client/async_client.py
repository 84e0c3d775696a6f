"""The client for asyncio: the same calls, awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc
import grpc.aio
from numpy.typing import ArrayLike

from atelier_client import core
from atelier_client.channel import OPTIONS
from atelier_client.core import Prediction, VersionStatus
from atelier_client.errors import InvalidRequest, ModelNotFound, from_status
from atelier_client.protos import serving_pb2 as pb
from atelier_client.signature import Signature, choose, from_metadata


class AsyncClient:
    """As `Client`, for one event loop: `async with AsyncClient(target, model) as client: await client.predict(x)`."""

    def __init__(self, target: str, model: str, *, timeout: float = core.DEFAULT_TIMEOUT) -> None:
        self.target, self.model, self.timeout = target, model, timeout
        self._channel = grpc.aio.insecure_channel(target, options=OPTIONS)
        self._predict = self._method("predict", pb.PredictResponse)
        self._metadata = self._method("metadata", pb.GetModelMetadataResponse)
        self._status = self._method("status", pb.GetModelStatusResponse)
        self._signatures: dict[tuple[int | None, str | None], dict[str, Signature]] = {}

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def predict(
        self,
        inputs: Mapping[str, ArrayLike] | ArrayLike,
        *,
        signature: str = "serving_default",
        outputs: Sequence[str] = (),
        version: int | None = None,
        label: str | None = None,
        rows_per_request: int | None = None,
    ) -> Prediction:
        """As `Client.predict`."""
        served = choose(await self.metadata(version=version, label=label), signature)
        served.check_outputs(tuple(outputs))
        spec = core.model_spec(self.model, signature, version, label)
        requests = core.predict_requests(spec, served, served.check(inputs), outputs, rows_per_request)
        try:
            return core.join(*await self._pipelined(requests))
        except (InvalidRequest, ModelNotFound):
            self._signatures.clear()
            raise

    async def metadata(self, *, version: int | None = None, label: str | None = None) -> dict[str, Signature]:
        """As `Client.metadata`."""
        key = (version, label)
        if key not in self._signatures:
            spec = core.model_spec(self.model, "", version, label)
            request = pb.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
            self._signatures[key] = from_metadata(await self._call(self._metadata, request))
        return self._signatures[key]

    async def status(self) -> list[VersionStatus]:
        """As `Client.status`."""
        request = pb.GetModelStatusRequest(model_spec=core.model_spec(self.model))
        return core.read_status(await self._call(self._status, request))

    def _method(self, name: str, answer: Any) -> Any:
        return self._channel.unary_unary(
            core.METHODS[name],
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=self.timeout)
        except grpc.aio.AioRpcError as error:
            raise from_status(error.code(), error.details() or "", self.target, self.timeout) from None

    async def _pipelined(
        self, requests: Sequence[pb.PredictRequest]
    ) -> tuple[list[pb.PredictResponse], list[float]]:
        window = asyncio.Semaphore(core.IN_FLIGHT)

        async def send(request: pb.PredictRequest) -> tuple[pb.PredictResponse, float]:
            async with window:
                started = time.perf_counter()
                return await self._call(self._predict, request), time.perf_counter() - started

        tasks = [asyncio.ensure_future(send(request)) for request in requests]
        try:
            answers = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return [answer for answer, _ in answers], [seconds for _, seconds in answers]
