"""Finds warm-up records larger than a batching file allows: with them the server fails to load every version.

TensorFlow Serving replays assets.extra/tf_serving_warmup_requests through its batcher, which refuses a request of more
rows than `max_batch_size` (servables/tensorflow/saved_model_warmup_util.cc, batching/batching_session.cc).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from atelier_client.data.tfrecord import read_records
from atelier_client.doctor.finding import Finding, error, warning
from atelier_client.doctor.wire_format import fields, nested
from atelier_client.errors import DataError

RECORDS = Path("assets.extra", "tf_serving_warmup_requests")
# The field numbers from PredictionLog to a tensor's shape: predict_log, request, inputs, value, tensor_shape
# (prediction_log.proto, predict.proto).
_SHAPE = (6, 1, 2, 2, 2)
_DIM = 2
_SIZE = 1
_LIMIT = re.compile(r"^[^#]*?max_batch_size\s*(?::\s*|\{\s*value\s*:\s*)(\d+)", re.MULTILINE)


def check_warmup(version: Path, models: Path) -> Iterator[Finding]:
    """Compare the warm-up records of a version with each batching file in the repository or the working folder."""
    if not (version / RECORDS).is_file():
        return
    try:
        rows = most_rows(version / RECORDS)
    except (DataError, ValueError) as problem:
        yield error(
            "warm-up",
            f"{version / RECORDS} is damaged: {problem}",
            "The server fails to load the version. Publish it again, or remove the file.",
        )
        return
    for file, limit in _limits((models, Path.cwd(), Path("reports"))):
        if rows > limit:
            yield warning(
                "warm-up",
                f"a record of {version / RECORDS} has {rows} rows; {file} has max_batch_size {limit}.",
                "A server with batching by that file refuses the record, fails to load the version and keeps its ports "
                "shut. Publish again with a smaller warm-up, or raise max_batch_size.",
            )


def most_rows(path: Path) -> int:
    """The rows of the largest predict record; 0 when there is none. Raises `DataError` or ValueError when damaged."""
    most = 0
    for record in read_records(path):
        for shape in nested(record, *_SHAPE):
            sizes = [
                dict(fields(dim)).get(_SIZE, 0)
                for number, dim in fields(shape)
                if number == _DIM and isinstance(dim, bytes)
            ]
            if sizes and isinstance(sizes[0], int):
                most = max(most, sizes[0])
    return most


def _limits(folders: tuple[Path, ...]) -> Iterator[tuple[Path, int]]:
    seen = set()
    for folder in folders:
        for file in sorted(folder.glob("*batching*")) if folder.is_dir() else ():
            if not file.is_file() or file.resolve() in seen or file.stat().st_size > 1 << 16:
                continue
            seen.add(file.resolve())
            if match := _LIMIT.search(file.read_text(encoding="utf-8", errors="replace")):
                yield file, int(match[1])
