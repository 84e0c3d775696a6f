"""A model's metadata as a signature."""

from __future__ import annotations

from collections.abc import Iterable

from atelier_client.open_inference.datatypes import CLIENT_NAMES
from atelier_client.open_inference.requests import DEFAULT_SIGNATURE
from atelier_client.protos import open_inference_pb2 as pb
from atelier_client.signature import Signature, TensorInfo


def from_metadata(metadata: pb.ModelMetadataResponse) -> Signature:
    """The model's inputs and outputs. The protocol has one signature for a model, without a name."""
    return Signature(
        DEFAULT_SIGNATURE, "", _infos(metadata.inputs), _infos(metadata.outputs), optional=frozenset()
    )


def undeclared(name: str) -> Signature:
    """A signature whose inputs the server does not tell. It checks what is sent."""
    return Signature(name, "", {}, {}, optional=frozenset())


def _infos(tensors: Iterable[pb.ModelMetadataResponse.TensorMetadata]) -> dict[str, TensorInfo]:
    # The protocol has no words for an unknown rank: servers leave the shape empty, as they do for a scalar.
    return {
        tensor.name: TensorInfo(
            tensor.name,
            CLIENT_NAMES.get(tensor.datatype, tensor.datatype),
            tuple(tensor.shape) or None,
        )
        for tensor in sorted(tensors, key=lambda tensor: tensor.name)
    }
