"""Reads responses: joins the outputs of all requests to one prediction, and reads the states of versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.errors import ServerFailure
from atelier_client.messages.tensors import decode
from atelier_client.protos import serving_pb2 as pb


class State(IntEnum):
    """A version's state (apis/get_model_status.proto)."""

    UNKNOWN = 0
    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


_STATES = {int(state): state for state in State}


@dataclass(frozen=True)
class VersionStatus:
    """One version as the server reports it. `error` is empty unless the version failed."""

    version: int
    state: State
    error: str


class Prediction(dict[str, NDArray[Any]]):
    """Named outputs, rows in the order of the inputs; strings are arrays of `bytes` objects.

    `versions` are those that responded: two when the server changed versions in between. REST does not tell the
    version; then it is the one that was asked for, if any. `seconds` is the time of each request with its retries.
    """

    versions: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()


def join(answers: Sequence[tuple[dict[str, NDArray[Any]], int]], seconds: Sequence[float]) -> Prediction:
    """Join the outputs of all requests. Raises `ServerFailure` when they do not fit together.

    An answer has its outputs and the version that gave them, 0 when it is not told.
    """
    parts = [outputs for outputs, _ in answers]
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
    result.versions = tuple(sorted({version for _, version in answers} - {0}))
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


def outputs_of(response: Any) -> dict[str, NDArray[Any]]:
    """The named arrays of any of the three responses. The names are the SavedModel constants of each method."""
    if isinstance(response, pb.PredictResponse):
        return {name: decode(tensor) for name, tensor in response.outputs.items()}
    if isinstance(response, pb.RegressionResponse):
        return {"outputs": np.array([row.value for row in response.result.regressions], np.float32)}
    rows = response.result.classifications
    width = max((len(row.classes) for row in rows), default=0)
    # A model may give fewer classes for one row than for another; the rest stays empty.
    classes = np.full((len(rows), width), b"", object)
    scores = np.zeros((len(rows), width), np.float32)
    for number, row in enumerate(rows):
        for column, item in enumerate(row.classes):
            classes[number, column] = item.label.encode()
            scores[number, column] = item.score
    return {"classes": classes, "scores": scores}
