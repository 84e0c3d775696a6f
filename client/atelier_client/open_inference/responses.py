"""Reads infer responses. What contradicts itself is an error that names it."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from atelier_client.errors import ServerFailure
from atelier_client.open_inference.tensors import decode, from_contents
from atelier_client.protos import open_inference_pb2 as pb


def outputs_of(response: pb.ModelInferResponse) -> dict[str, NDArray[Any]]:
    """The named arrays. Raises `ServerFailure`."""
    raw = response.raw_output_contents
    if not response.outputs:
        raise ServerFailure("The server answered without any output.")
    if raw and len(raw) != len(response.outputs):
        raise ServerFailure(
            f"The server sent {len(raw)} raw buffers for {len(response.outputs)} outputs; expected one for each."
        )
    arrays: dict[str, NDArray[Any]] = {}
    for number, output in enumerate(response.outputs):
        if output.name in arrays:
            raise ServerFailure(f"The server sent the output {output.name!r} twice.")
        shape = tuple(output.shape)
        if not raw:
            arrays[output.name] = from_contents(output.name, output.datatype, shape, output.contents)
            continue
        if output.contents.ListFields():
            raise ServerFailure(f"The server sent the output {output.name!r} raw and in typed fields.")
        arrays[output.name] = decode(output.name, output.datatype, shape, raw[number])
    return arrays


def version_number(text: str) -> int:
    """The number of a version; 0 for one that has no number, which the protocol allows."""
    return int(text) if text.isascii() and text.isdigit() and int(text) < 2**63 else 0
