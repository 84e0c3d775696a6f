"""Requests built and answers read: rows split by measured size, outputs joined. No input or output happens here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client._ragged import parts_rows
from atelier_client._tensors import decode, encode, strings, varint
from atelier_client.errors import InputError, ServerFailure
from atelier_client.protos import serving_pb2 as pb
from atelier_client.signature import Signature

# Rows travel in requests of about this size, at most so many rows, so many requests at a time. Measured with 10,000
# images of 784 bytes against a server on the same two cores: 330,000 a second at 400 kB, 410,000 to 480,000 at 800 kB;
# larger or more at a time gains nothing.
REQUEST_BYTES = 800_000
REQUEST_ROWS = 1024
IN_FLIGHT = 4


class State(IntEnum):
    """A version's state (apis/get_model_status.proto)."""

    UNKNOWN = 0
    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


# Gives a request's bytes. Asked when its turn comes: the first ones are on their way while the last ones are written.
Request = Callable[[], bytes]

_STATES = {int(state): state for state in State}


@dataclass(frozen=True)
class VersionStatus:
    """One version as the server reports it; `error` is empty unless it failed."""

    version: int
    state: State
    error: str


class Prediction(dict[str, NDArray[Any]]):
    """Named outputs, rows in the order of the inputs; strings are arrays of `bytes` objects.

    `versions` are those that answered (two when the server swapped in the middle; over REST, which does not tell, only
    one that was asked for), `seconds` the time of each request, its retries included.
    """

    versions: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()


def check_asked(version: object, label: object, rows_per_request: object = None) -> None:
    """Raises `InputError` for a version that is no whole number from 0, a label that is no text, and the like."""
    whole = isinstance(version, (int, np.integer)) and not isinstance(version, bool)
    if version is not None and not (whole and 0 <= int(version) < 2**63):  # type: ignore[call-overload]
        raise InputError(f"A version is a whole number from 0, not {version!r}.")
    if label is not None and not isinstance(label, str):
        raise InputError(f"A label is a text, not {label!r}.")
    if rows_per_request is not None and not isinstance(rows_per_request, (int, np.integer)):
        raise InputError(f"rows_per_request is a whole number, not {rows_per_request!r}.")


def make_model_spec(
    model: str, signature: str = "", version: int | None = None, label: str | None = None
) -> pb.ModelSpec:
    """The request's model: newest version, one version, or one label. Raises `InputError` for both."""
    model_spec = pb.ModelSpec(name=model, signature_name=signature)
    if version is not None and label is not None:
        raise InputError("Give a version or a label, not both.")
    if version is not None:
        model_spec.version.value = version
    if label is not None:
        model_spec.version_label = label
    return model_spec


@lru_cache(256)
def predict_frame(
    model: str, signature: str, version: int | None, label: str | None, outputs: tuple[str, ...]
) -> tuple[bytes, bytes]:
    """What comes before and after the inputs in a predict request. Raises `InputError` as `model_spec`."""
    model_spec = make_model_spec(model, signature, version, label)
    before, after = pb.PredictRequest(model_spec=model_spec), pb.PredictRequest(output_filter=outputs)
    return before.SerializeToString(), after.SerializeToString()


def predict_requests(
    frame: tuple[bytes, bytes],
    signature: Signature,
    arrays: Mapping[str, NDArray[Any]],
    rows_per_request: int | None,
    outputs: tuple[str, ...] = (),
) -> list[Request]:
    """One request, or as many as the rows need; a batch without rows is one request.

    Rows are split when every output has a row for each of them by the signature. Where a first dimension may be
    another than the batch's (`Signature.of_one_example`), only `rows_per_request` splits them. Rows of different
    lengths (_ragged.py) are never split.
    Raises `InputError` for `rows_per_request` with an output that cannot be joined; `UnsupportedType`: here for one of
    several requests, else when its bytes are asked for.
    """
    parted = signature.splittable and parts_rows(arrays)
    if parted and rows_per_request is not None:
        raise InputError(
            "The inputs hold rows of different lengths, which are sent whole. Leave rows_per_request out."
        )
    rows = len(next(iter(arrays.values()))) if arrays and signature.splittable and not parted else 1
    if rows <= 1:
        return [partial(_request, frame, arrays)]
    whole = signature.joined(outputs)
    if whole is not None and rows_per_request is not None and 0 < rows_per_request < rows:
        raise InputError(
            f"The output {whole} has no row for each row of the inputs, so that requests of {rows_per_request} rows "
            "cannot be joined. Leave rows_per_request out, or ask for other outputs (outputs=)."
        )
    if rows_per_request is None and (whole is not None or signature.of_one_example):
        return [partial(_request, frame, arrays)]
    arrays = {name: strings(array) if array.dtype.kind in "OSU" else array for name, array in arrays.items()}
    return [
        partial(_request, frame, {name: array[part] for name, array in arrays.items()})
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


def join(responses: Sequence[Any], seconds: Sequence[float]) -> Prediction:
    """The outputs of all requests as one. Raises `ServerFailure` when they do not fit together."""
    parts = [_outputs(response) for response in responses]
    result = Prediction()
    for name in sorted(parts[0]):
        try:
            columns = [part[name] for part in parts]
            result[name] = columns[0] if len(columns) == 1 else np.concatenate(columns)
        except (KeyError, ValueError):
            raise ServerFailure(
                f"The parts of output {name!r} do not fit together; the model may have changed in between. "
                "Ask for one version (version=)."
            ) from None
    # Version 0 is no version: REST does not tell which one answered.
    result.versions = tuple(sorted({response.model_spec.version.value for response in responses} - {0}))
    result.seconds = tuple(seconds)
    return result


def check_rows(prediction: Prediction, rows: int) -> None:
    """Raises `ServerFailure` when the joined responses do not have one row for each row sent."""
    for name, array in prediction.items():
        if len(array) != rows:
            raise ServerFailure(
                f"The answers for output {name!r} have {len(array)} rows together, {rows} were sent: it has no row "
                f"for each. Send all rows in one request (rows_per_request={rows})."
            )


def read_status(response: pb.GetModelStatusResponse) -> list[VersionStatus]:
    """The entries, highest version first as the server sends them."""
    return [
        VersionStatus(
            entry.version,
            _STATES.get(entry.state, State.UNKNOWN),
            entry.status.error_message,
        )
        for entry in response.model_version_status
    ]


def describe(entries: Sequence[VersionStatus]) -> str:
    """The versions and their states in a line."""
    states = [
        f"{entry.version} {entry.state.name}" + (f" ({entry.error})" if entry.error else "")
        for entry in entries
    ]
    return ", ".join(states) or "no versions"


def _request(frame: tuple[bytes, bytes], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A serialized PredictRequest: the one copy that is made of the arrays."""
    parts: list[bytes | memoryview] = [frame[0]]
    for name, array in arrays.items():
        head, content = encode(array)
        parts += (_entry(name, head, content.nbytes), head, content)
    parts.append(frame[1])
    return b"".join(parts)


@lru_cache(256)
def _entry(name: str, head: bytes, size: int) -> bytes:
    """What comes before a Tensor in an entry of the map `inputs` (field 2): the name (1), the tensor's length (2)."""
    key = name.encode()
    entry = b"\x0a" + varint(len(key)) + key + b"\x12" + varint(len(head) + size)
    return b"\x12" + varint(len(entry) + len(head) + size) + entry


def _outputs(response: Any) -> dict[str, NDArray[Any]]:
    """The named arrays of any of the three answers; the names are the SavedModel constants of each method."""
    if isinstance(response, pb.PredictResponse):
        return {name: decode(tensor) for name, tensor in response.outputs.items()}
    if isinstance(response, pb.RegressionResponse):
        return {"outputs": np.array([row.value for row in response.result.regressions], np.float32)}
    rows = response.result.classifications
    width = max((len(row.classes) for row in rows), default=0)
    # A model may answer fewer classes for a row than for another; the rest is empty.
    classes, scores = np.full((len(rows), width), b"", object), np.zeros((len(rows), width), np.float32)
    for number, row in enumerate(rows):
        for column, item in enumerate(row.classes):
            classes[number, column], scores[number, column] = item.label.encode(), item.score
    return {"classes": classes, "scores": scores}


def _parts(rows: int, fixed: int | None, sizes: Callable[[], NDArray[Any]]) -> Iterator[slice]:
    """Slices of at most REQUEST_ROWS rows and about REQUEST_BYTES; or of `fixed` rows."""
    if fixed is not None:
        if fixed < 1:
            raise InputError(f"rows_per_request must be 1 or more, not {fixed}.")
        yield from (slice(start, start + fixed) for start in range(0, rows, fixed))
        return
    ends = np.cumsum(sizes())
    start, sent = 0, 0
    while start < rows:
        # The first row that no longer fits; one row always goes, however large.
        end = int(np.searchsorted(ends, sent + REQUEST_BYTES, side="right"))
        end = min(max(end, start + 1), start + REQUEST_ROWS, rows)
        yield slice(start, end)
        start, sent = end, int(ends[end - 1])


def _row_sizes(arrays: Mapping[str, NDArray[Any]], rows: int) -> NDArray[Any]:
    """Bytes of each row. Strings are measured, not guessed: an object array's own bytes are pointers."""
    sizes = np.zeros(rows, np.int64)
    for array in arrays.values():
        if array.dtype.kind == "O":
            texts = array.reshape(rows, -1).tolist()
            sizes += np.array([sum(map(len, row)) for row in texts], np.int64)
        else:
            sizes += array.nbytes // rows
    return sizes
