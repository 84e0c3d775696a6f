"""The Open Inference Protocol behind the interface of a protocol.

What it does not have: the states of versions (only which are listed, and whether each is ready), a reload of the
configuration, tf.Examples (classify, regress), and names of signatures (the embedded server takes one as a parameter).
Versions need no numbers, and servers need not list them. A version without a number is 0 here, and asking for version 0
leaves the choice to the server; a version that is numbered 0 is asked for by TensorFlow Serving's protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from numpy.typing import NDArray

from atelier_client._routine import Routine
from atelier_client.errors import InvalidRequest, ModelNotFound, NotSupported, from_status
from atelier_client.open_inference.methods import INFER, METADATA, METHODS, READY
from atelier_client.open_inference.requests import InferFrame, infer_frame, version_text
from atelier_client.open_inference.responses import outputs_of, version_number
from atelier_client.open_inference.signature import from_metadata, undeclared
from atelier_client.protocols.base import Send
from atelier_client.protos import open_inference_pb2 as pb
from atelier_client.responses import State, VersionStatus
from atelier_client.signature import Signature
from atelier_client.transports.base import Method


class _OpenInference:
    """See `Protocol`."""

    predict = INFER
    idle = READY
    any_version = 0

    def frame(
        self, model: str, signature: str, version: int | None, label: str | None, outputs: tuple[str, ...]
    ) -> InferFrame:
        return infer_frame(model, signature, version, label, outputs)

    def idle_request(self, model: str) -> bytes:
        return pb.ModelReadyRequest(name=model).SerializeToString()

    def read(self, response: Any) -> tuple[dict[str, NDArray[Any]], int]:
        return outputs_of(response), version_number(response.model_version)

    def check(self, method: Method, target: str) -> None:
        if method in METHODS:
            return
        text = (
            f"the Open Inference Protocol has no {method.name}; ask by TensorFlow Serving's, where the server has it: "
            "the address without v2+"
        )
        raise from_status(grpc.StatusCode.UNIMPLEMENTED, text, target, 0)

    def metadata(
        self, send: Send, model: str, version: int | None, label: str | None
    ) -> Routine[tuple[dict[str, Signature], int]]:
        asked = pb.ModelMetadataRequest(name=model, version=version_text(version, label))
        signature = from_metadata((yield from send(METADATA, asked.SerializeToString())))
        return {signature.name: signature}, 0

    def choose(self, served: Mapping[str, Signature], name: str) -> Signature:
        return served[name] if name in served else undeclared(name)

    def version_of(self, send: Send, model: str, label: str) -> Routine[int]:
        asked = pb.ModelMetadataRequest(name=model, version=label)
        try:
            response = yield from send(METADATA, asked.SerializeToString())
        except ModelNotFound as error:
            raise InvalidRequest(str(error), error.code, error.details) from None
        if not response.versions:
            raise InvalidRequest(f"{model} has no versions, and so no label {label!r}.", "INVALID_ARGUMENT")
        if len(response.versions) == 1 and (number := version_number(response.versions[0])):
            return number
        raise NotSupported(
            f"Which version of {model} the label {label!r} names, the Open Inference Protocol does not tell: ask with "
            "the label itself (label=, --label), or by TensorFlow Serving's protocol (the address without v2+).",
            "UNIMPLEMENTED",
        )

    def status(self, send: Send, model: str) -> Routine[list[VersionStatus]]:
        metadata = yield from send(METADATA, pb.ModelMetadataRequest(name=model).SerializeToString())
        numbers = sorted({version_number(text) for text in metadata.versions} - {0}, reverse=True)
        entries = []
        for number in numbers or [0]:
            asked = pb.ModelReadyRequest(name=model, version=version_text(number, None))
            response = yield from send(READY, asked.SerializeToString())
            entries.append(VersionStatus(number, State.AVAILABLE if response.ready else State.UNKNOWN, ""))
        return entries


OPEN_INFERENCE = _OpenInference()
