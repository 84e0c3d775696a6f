"""Requests sent to try the model: one that is larger than usual limits, and the golden examples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from atelier_client._model_card import read_golden
from atelier_client.client import Client
from atelier_client.doctor.finding import Finding, error, ok, warning
from atelier_client.errors import ClientError, TooLarge
from atelier_client.evaluation import skew
from atelier_client.messages.tensors import BY_NAME
from atelier_client.signature import Signature

# More than gRPC's default limit of 4 MB, which proxies and other clients often have.
_PROBE_BYTES = 6_000_000
_PROBE_ROWS = 20_000


def check_limits(client: Client, version: int, signatures: dict[str, Signature]) -> Iterator[Finding]:
    """Send one message of 6 MB and check that it and its response arrive."""
    check = "message limits"
    signature = signatures.get("serving_default")
    if signature is None or not signature.splittable or signature.ragged:
        return
    infos = list(signature.inputs.values())
    if not all(info.dtype in BY_NAME and info.shape and -1 not in info.shape[1:] for info in infos):
        return
    shapes = {info.name: (np.dtype(info.dtype), (info.shape or ())[1:]) for info in infos}
    row = sum(dtype.itemsize * math.prod(shape) for dtype, shape in shapes.values())
    rows = min(_PROBE_BYTES // max(row, 1) + 1, _PROBE_ROWS)
    inputs = {name: np.zeros((rows, *shape), dtype) for name, (dtype, shape) in shapes.items()}
    text = f"a request of {rows:,} rows, {rows * row / 1e6:.1f} MB"
    try:
        client.predict(inputs, version=version, rows_per_request=rows)
    except TooLarge as problem:
        yield warning(
            check,
            f"Not accepted: {text}: {problem.details or problem}.",
            "Requests must stay below: the commands send 0.8 MB at a time. A limit of 4 MB comes from a proxy or a "
            "client, a batch size from the server's batching parameters.",
        )
    except ClientError as problem:
        yield warning(check, f"Not answered: {text}: {problem}", "See the server's log.")
    else:
        yield ok(check, f"{text}, is answered")


def check_golden(client: Client, version: int, models: Path) -> Iterator[Finding]:
    """Send the golden examples and check that the outputs are those that the trainer computed."""
    try:
        golden = read_golden(models / client.model / str(version))
        measured = skew.measure(client, version, golden)
    except ClientError as problem:
        yield error("answers", str(problem), "Publish the version again.")
        return
    if golden is None:
        return
    verdict = skew.verdict(measured)
    if verdict:
        yield error(
            "answers",
            verdict,
            "Trainer and server disagree: another model, or another release of TensorFlow.",
        )
    else:
        yield ok("answers", f"{measured['examples']} golden examples come back as the trainer computed them")
