"""Builds infer requests. Values are sent raw (`raw_input_contents`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from numpy.typing import NDArray

from atelier_client.errors import InputError
from atelier_client.messages.tensors import varint
from atelier_client.open_inference.tensors import encode
from atelier_client.protos import open_inference_pb2 as pb

# The signature is no word of the protocol: the embedded server takes it as a parameter of the request.
SIGNATURE = "signature_name"
DEFAULT_SIGNATURE = "serving_default"
# The tag of raw_input_contents: field 7, length-delimited (protobuf.dev/programming-guides/encoding/#structure).
_RAW_TAG = b"\x3a"


@dataclass(frozen=True)
class InferFrame:
    """The bytes before and after the inputs of a ModelInferRequest: model, version and parameters; outputs."""

    before: bytes
    after: bytes

    def serialized(self, arrays: Mapping[str, NDArray[Any]]) -> bytes:
        """A serialized ModelInferRequest. This is the only copy of the arrays."""
        parts: list[bytes | memoryview] = [self.before]
        raw: list[bytes | memoryview] = []
        for name, array in arrays.items():
            datatype, content = encode(array)
            parts.append(_input(name, datatype, array.shape))
            raw += (_RAW_TAG + varint(content.nbytes), content)
        return b"".join([*parts, self.after, *raw])


@lru_cache(256)
def infer_frame(
    model: str, signature: str, version: int | None, label: str | None, outputs: tuple[str, ...]
) -> InferFrame:
    """The frame of infer requests. Raises `InputError` for a version and a label."""
    before = pb.ModelInferRequest(model_name=model, model_version=version_text(version, label))
    if signature != DEFAULT_SIGNATURE:
        before.parameters[SIGNATURE].string_param = signature
    after = pb.ModelInferRequest()
    for name in outputs:
        after.outputs.add(name=name)
    return InferFrame(before.SerializeToString(), after.SerializeToString())


def version_text(version: int | None, label: str | None) -> str:
    """`model_version`: a number or a label; empty, which leaves the choice to the server, for neither and for 0.

    0 is what a server whose versions have no numbers answers with (protocol.py). Raises `InputError` for both.
    """
    if version is not None and label is not None:
        raise InputError("Give a version or a label, not both.")
    return label or str(version or "")


@lru_cache(256)
def _input(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    """The bytes of an input without its values. Cached, because the next request mostly has the same."""
    message = pb.ModelInferRequest()
    message.inputs.add(name=name, datatype=datatype, shape=shape)
    return message.SerializeToString()
