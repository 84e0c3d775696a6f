"""The blocking client."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc
from numpy.typing import ArrayLike

from atelier_client import core
from atelier_client.channel import OPTIONS
from atelier_client.core import Prediction, State, VersionStatus
from atelier_client.errors import (
    ClientError,
    InvalidRequest,
    ModelNotFound,
    NotReachable,
    TimedOut,
    from_status,
)
from atelier_client.protos import serving_pb2 as pb
from atelier_client.signature import Signature, choose, from_metadata

_POLL_SECONDS = 0.1


class Client:
    """One connection to a model server; thread-safe; close it, or use it as a context manager.

        with Client("127.0.0.1:8500", "fashion") as client:
            labels = client.predict(images)["label"]

    `timeout` (seconds) bounds each request. Nothing is connected before the first call.
    """

    def __init__(self, target: str, model: str, *, timeout: float = core.DEFAULT_TIMEOUT) -> None:
        self.target, self.model, self.timeout = target, model, timeout
        self._channel = grpc.insecure_channel(target, options=OPTIONS)
        self._predict = self._method("predict", pb.PredictResponse)
        self._metadata = self._method("metadata", pb.GetModelMetadataResponse)
        self._status = self._method("status", pb.GetModelStatusResponse)
        self._signatures: dict[tuple[int | None, str | None], dict[str, Signature]] = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def predict(
        self,
        inputs: Mapping[str, ArrayLike] | ArrayLike,
        *,
        signature: str = "serving_default",
        outputs: Sequence[str] = (),
        version: int | None = None,
        label: str | None = None,
        rows_per_request: int | None = None,
    ) -> Prediction:
        """Named arrays in (or the only input's array), named arrays out; any number of rows.

        `outputs` asks for those alone. Rows are split into requests of a measured size, several in flight at once.
        Raises `InputError` before anything is sent, else a `ServerError`.
        """
        served = choose(self.metadata(version=version, label=label), signature)
        served.check_outputs(tuple(outputs))
        spec = core.model_spec(self.model, signature, version, label)
        requests = core.predict_requests(spec, served, served.check(inputs), outputs, rows_per_request)
        try:
            return core.join(*self._pipelined(requests))
        except (InvalidRequest, ModelNotFound):
            # What is served may have changed since its signatures were read.
            self._signatures.clear()
            raise

    def metadata(self, *, version: int | None = None, label: str | None = None) -> dict[str, Signature]:
        """The signatures of the model by name; read once and kept."""
        key = (version, label)
        if key not in self._signatures:
            spec = core.model_spec(self.model, "", version, label)
            request = pb.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
            self._signatures[key] = from_metadata(self._call(self._metadata, request))
        return self._signatures[key]

    def status(self) -> list[VersionStatus]:
        """Every version the server has seen, highest first; those of state END are gone or failed."""
        request = pb.GetModelStatusRequest(model_spec=core.model_spec(self.model))
        return core.read_status(self._call(self._status, request))

    def newest_available(self) -> int:
        """The version a request without one is answered by. Raises `ModelNotFound` when none answers."""
        entries = self.status()
        answering = [entry.version for entry in entries if entry.state == State.AVAILABLE]
        if not answering:
            raise ModelNotFound(f"No version of {self.model} answers: {describe(entries)}.")
        return max(answering)

    def version_of(self, label: str) -> int:
        """The version a label stands for. Raises `ModelNotFound` when the model has no such label."""
        spec = core.model_spec(self.model, label=label)
        request = pb.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        return int(self._call(self._metadata, request).model_spec.version.value)

    def wait_ready(self, seconds: float, version: int | None = None) -> int:
        """Wait until a version (that one, when given) is AVAILABLE; return it. Raises `TimedOut`."""
        deadline, reason = time.monotonic() + seconds, "nothing was asked yet"
        while time.monotonic() < deadline:
            try:
                entries = self.status()
                available = {entry.version for entry in entries if entry.state == State.AVAILABLE}
                if version in available or (version is None and available):
                    return version if version is not None else max(available)
                reason = describe(entries)
            except (NotReachable, TimedOut, ModelNotFound) as error:
                reason = str(error)
            time.sleep(_POLL_SECONDS)
        wanted = self.model if version is None else f"{self.model} version {version}"
        raise TimedOut(f"{wanted} was not ready within {seconds:g} s. Last seen: {reason}")

    def _method(self, name: str, answer: Any) -> Any:
        return self._channel.unary_unary(
            core.METHODS[name],
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self.timeout)
        except grpc.RpcError as error:
            raise self._explained(error) from None

    def _pipelined(
        self, requests: Sequence[pb.PredictRequest]
    ) -> tuple[list[pb.PredictResponse], list[float]]:
        """Send with a bounded number in flight; answers and seconds in the order of the requests."""
        if len(requests) == 1:
            started = time.perf_counter()
            return [self._call(self._predict, requests[0])], [time.perf_counter() - started]
        window = threading.Semaphore(core.IN_FLIGHT)
        ends = [0.0] * len(requests)
        flights: deque[tuple[float, Any]] = deque()
        try:
            for number, request in enumerate(requests):
                window.acquire()
                if flights and any(call.done() and call.exception() for _, call in flights):
                    break
                call = self._predict.future(request, timeout=self.timeout)
                flights.append((time.perf_counter(), call))
                call.add_done_callback(_Landing(ends, number, window))
            responses = [call.result() for _, call in flights]
        except grpc.RpcError as error:
            raise self._explained(error) from None
        finally:
            for _, call in flights:
                call.cancel()
        return responses, [end - start for end, (start, _) in zip(ends, flights, strict=True)]

    def _explained(self, error: grpc.RpcError) -> ClientError:
        return from_status(error.code(), error.details() or "", self.target, self.timeout)


class _Landing:
    """Notes when a call ended and makes room for the next."""

    def __init__(self, ends: list[float], number: int, window: threading.Semaphore) -> None:
        self._ends, self._number, self._window = ends, number, window

    def __call__(self, call: object) -> None:
        self._ends[self._number] = time.perf_counter()
        self._window.release()


def describe(entries: Sequence[VersionStatus]) -> str:
    """The versions and their states in a line."""
    states = [
        f"{entry.version} {entry.state.name}" + (f" ({entry.error})" if entry.error else "")
        for entry in entries
    ]
    return ", ".join(states) or "no versions"
