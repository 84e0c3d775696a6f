"""Builds requests and splits rows by their measured size. Nothing is sent here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from atelier_client.errors import InputError
from atelier_client.messages.ragged import parts_rows
from atelier_client.messages.tensors import encode, strings, varint
from atelier_client.protos import serving_pb2 as pb
from atelier_client.signature import Signature

# A request has about so many bytes and at most so many rows, and so many requests are in flight. Measured with 10,000
# images of 784 bytes and a server on the same two cores: 330,000 images per second at 400 kB, 410,000 to 480,000 at
# 800 kB. Larger requests, or more of them, are not faster.
REQUEST_BYTES = 800_000
REQUEST_ROWS = 1024
IN_FLIGHT = 4

# A function that serializes a request. It is called when the request's turn comes, so that the first requests are
# already sent while the last ones are serialized.
Request = Callable[[], bytes]


class Frame(Protocol):
    """The part of a predict request that is the same for all rows: the model, its version, the outputs asked for."""

    def serialized(self, arrays: Mapping[str, NDArray[Any]]) -> bytes:
        """The request with these inputs. Raises `UnsupportedType`."""


def make_model_spec(
    model: str, signature: str = "", version: int | None = None, label: str | None = None
) -> pb.ModelSpec:
    """The model spec of a request: the newest version, one version, or one label. Raises `InputError` for both."""
    model_spec = pb.ModelSpec(name=model, signature_name=signature)
    if version is not None and label is not None:
        raise InputError("Give a version or a label, not both.")
    if version is not None:
        model_spec.version.value = version
    if label is not None:
        model_spec.version_label = label
    return model_spec


def status_request(model: str) -> Request:
    """A request for the states of all versions of the model."""
    return pb.GetModelStatusRequest(model_spec=make_model_spec(model)).SerializeToString


def metadata_request(model: str, version: int | None, label: str | None) -> Request:
    """A request for the model's signatures. Raises `InputError` as `make_model_spec`."""
    model_spec = make_model_spec(model, "", version, label)
    return pb.GetModelMetadataRequest(
        model_spec=model_spec, metadata_field=["signature_def"]
    ).SerializeToString


@dataclass(frozen=True)
class PredictFrame:
    """The bytes before and after the inputs of a PredictRequest."""

    before: bytes
    after: bytes

    def serialized(self, arrays: Mapping[str, NDArray[Any]]) -> bytes:
        """A serialized PredictRequest. This is the only copy of the arrays."""
        parts: list[bytes | memoryview] = [self.before]
        for name, array in arrays.items():
            head, content = encode(array)
            parts += (_entry(name, head, content.nbytes), head, content)
        parts.append(self.after)
        return b"".join(parts)


@lru_cache(256)
def predict_frame(
    model: str, signature: str, version: int | None, label: str | None, outputs: tuple[str, ...]
) -> PredictFrame:
    """The frame of predict requests. Raises `InputError` as `make_model_spec`."""
    model_spec = make_model_spec(model, signature, version, label)
    before = pb.PredictRequest(model_spec=model_spec)
    after = pb.PredictRequest(output_filter=outputs)
    return PredictFrame(before.SerializeToString(), after.SerializeToString())


def predict_requests(
    frame: Frame,
    signature: Signature,
    arrays: Mapping[str, NDArray[Any]],
    rows_per_request: int | None,
    outputs: tuple[str, ...] = (),
) -> list[Request]:
    """One request, or several when there are many rows. A batch without rows is one request.

    Rows are split only when the signature says that every output has one row for each row of the inputs. When an input
    may be a single example (`Signature.of_one_example`), rows are split only by `rows_per_request`. Rows of different
    lengths (messages/ragged.py) are never split.
    Raises `InputError` for `rows_per_request` with an output that cannot be joined. Raises `UnsupportedType` when there
    are several requests; a single request raises it when it is serialized.
    """
    parted = signature.splittable and parts_rows(arrays)
    if parted and rows_per_request is not None:
        raise InputError(
            "The inputs hold rows of different lengths, which are sent whole. Leave rows_per_request out."
        )
    rows = len(next(iter(arrays.values()))) if arrays and signature.splittable and not parted else 1
    if rows <= 1:
        return [partial(frame.serialized, arrays)]
    whole = signature.joined(outputs)
    if whole is not None and rows_per_request is not None and 0 < rows_per_request < rows:
        raise InputError(
            f"The output {whole} has no row for each row of the inputs, so that requests of {rows_per_request} rows "
            "cannot be joined. Leave rows_per_request out, or ask for other outputs (outputs=)."
        )
    if rows_per_request is None and (whole is not None or signature.of_one_example):
        return [partial(frame.serialized, arrays)]
    arrays = {name: strings(array) if array.dtype.kind in "OSU" else array for name, array in arrays.items()}
    return [
        partial(frame.serialized, {name: array[part] for name, array in arrays.items()})
        for part in _parts(rows, rows_per_request, lambda: _row_sizes(arrays, rows))
    ]


def example_requests(
    message: Any, model_spec: pb.ModelSpec, examples: Sequence[pb.Example], rows_per_request: int | None
) -> list[Request]:
    """The requests of classify or regress (`message` is the request's type)."""
    parts = _parts(len(examples), rows_per_request, lambda: np.array([row.ByteSize() for row in examples]))
    return [
        message(
            model_spec=model_spec, input=pb.Input(example_list=pb.ExampleList(examples=examples[part]))
        ).SerializeToString
        for part in parts
    ]


@lru_cache(256)
def _entry(name: str, head: bytes, size: int) -> bytes:
    """The bytes before a Tensor in an entry of the map `inputs` (field 2): the name (1), the tensor's length (2)."""
    key = name.encode()
    entry = b"\x0a" + varint(len(key)) + key + b"\x12" + varint(len(head) + size)
    return b"\x12" + varint(len(entry) + len(head) + size) + entry


def _parts(rows: int, fixed: int | None, sizes: Callable[[], NDArray[Any]]) -> Iterator[slice]:
    """Slices of `fixed` rows; or else of at most REQUEST_ROWS rows and about REQUEST_BYTES."""
    if fixed is not None:
        if fixed < 1:
            raise InputError(f"rows_per_request must be 1 or more, not {fixed}.")
        yield from (slice(start, start + fixed) for start in range(0, rows, fixed))
        return
    ends = np.cumsum(sizes())
    start = 0
    sent = 0
    while start < rows:
        # `end` is the first row that no longer fits. A request has at least one row, also when the row is larger.
        end = int(np.searchsorted(ends, sent + REQUEST_BYTES, side="right"))
        end = min(max(end, start + 1), start + REQUEST_ROWS, rows)
        yield slice(start, end)
        start = end
        sent = int(ends[end - 1])


def _row_sizes(arrays: Mapping[str, NDArray[Any]], rows: int) -> NDArray[Any]:
    """The bytes of each row. The lengths of strings are summed, because an object array contains only pointers."""
    sizes = np.zeros(rows, np.int64)
    for array in arrays.values():
        if array.dtype.kind == "O":
            texts = array.reshape(rows, -1).tolist()
            sizes += np.array([sum(map(len, row)) for row in texts], np.int64)
        else:
            sizes += array.nbytes // rows
    return sizes
