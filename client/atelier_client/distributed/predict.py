"""Predicts the rows of a source by several processes; what was predicted of a part is a Parquet file of its own.

A file appears whole, under the part's name. So a part that ran twice has one file, and a run that was stopped goes on
from the files that are there.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from atelier_client import __version__
from atelier_client._files import write_text
from atelier_client._layout import Layout
from atelier_client.client import Client
from atelier_client.data import parts as data_parts
from atelier_client.data.binding import Binding, rows_at_once
from atelier_client.data.parts import Part, PartsReader
from atelier_client.data.table import Table
from atelier_client.distributed import pool
from atelier_client.distributed.parts_folder import files_of
from atelier_client.distributed.prediction_table import PredictionTable
from atelier_client.distributed.said import Said
from atelier_client.errors import InputError
from atelier_client.evaluation.progress import Progress
from atelier_client.evaluation.retrying_sender import RequestOptions, RetryingSender
from atelier_client.messages.requests import REQUEST_BYTES, REQUEST_ROWS
from atelier_client.signature import choose

_PLAN = "_plan.json"
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Predicted:
    """How many rows and files there are, of which so many rows were asked by this run."""

    rows: int
    files: int
    asked: int


@dataclass(frozen=True)
class _Batch:
    """Rows to send, the number of the first, and what the source has of them."""

    first: int
    inputs: dict[str, NDArray[Any]]
    table: Table


@dataclass(frozen=True)
class _Write:
    """The work on a part (`pool.Work`): predict its rows, and write its file."""

    binding: Binding
    request: RequestOptions
    at_once: int
    columns: PredictionTable
    folder: Path

    def __call__(self, client: Client, reader: PartsReader, part: Part) -> bytes:
        from pyarrow import parquet

        sender: RetryingSender[_Batch] = RetryingSender(
            client, self.request, _PATIENCE_SECONDS, lambda reason: None
        )
        name = _file_name(part)
        half = self.folder / f".{name}.{uuid.uuid4().hex}"
        writer: Any = None
        try:
            for batch, prediction in sender.predictions(self._batches(reader, part)):
                rows = self.columns.of(prediction, batch.first, batch.table)
                writer = writer or parquet.ParquetWriter(half, rows.schema)
                writer.write_table(rows)
            if writer is not None:
                writer.close()
                os.replace(half, self.folder / name)
        finally:
            if writer is not None:
                writer.close()
            half.unlink(missing_ok=True)
        return name.encode()

    def _batches(self, reader: PartsReader, part: Part) -> Iterator[_Batch]:
        first = part.first
        for table in reader.tables_of(part, self.at_once):
            yield _Batch(first, self.binding.inputs(table, first), table)
            first += len(next(iter(table.values())))


def predict(
    client: Client,
    reader: PartsReader,
    folder: Path,
    progress: Progress,
    *,
    connection: pool.Connection,
    source: pool.Source,
    layout: Layout,
    version: int,
    signature: str,
    class_names: tuple[str, ...],
    measured: str | None,
    actors: int,
) -> Predicted:
    """Write the predictions of every row into `folder`, by so many actors. Raises `ClientError`.

    This process is connected to Ray (`cluster.connected`). `connection` makes the actors' clients, `source` is what
    `reader` reads. `class_names` and `measured` are as in `readable_rows`.
    """
    served = choose(client.metadata(version=version), signature)
    columns = PredictionTable(tuple(served.outputs), class_names, measured)
    binding = Binding(
        served,
        reader.name,
        row_word=reader.row_word,
        layout=layout,
        say=Said(progress.say),
    )
    at_once = rows_at_once(served, REQUEST_BYTES, REQUEST_ROWS)
    first = next(iter(reader.tables(at_once)), None)
    if first is None:
        raise InputError(f"{reader.name} holds no examples.")
    # The first table decides how all are read; the actors' copies have it so.
    binding.inputs(first, 0)
    parts = reader.parts(data_parts.ROWS)
    _begin(
        folder,
        {
            "client": __version__,
            "model": client.model,
            "version": version,
            "signature": str(served),
            "layout": str(layout),
            "classes": class_names,
            "measured": measured,
            "files": files_of(reader),
            "parts": len(parts),
        },
    )
    left = [part for part in parts if not (folder / _file_name(part)).exists()]
    rows, asked = (sum(part.rows for part in some) for some in (parts, left))
    if asked < rows:
        progress.say(f"{rows - asked:,} of {rows:,} rows are there, by a run before; the others are asked.")
        progress.advance(rows - asked)
    work = _Write(binding, RequestOptions(version, signature, ()), at_once, columns, folder.resolve())
    if left:
        for part, name in pool.run(connection, source, left, work, actors):
            if not (folder / name.decode()).exists():
                raise InputError(
                    f"{folder / name.decode()} was written by another machine, and is not here: expected a folder that "
                    "all machines of the Ray cluster share."
                )
            progress.advance(part.rows)
    _remove_halves(folder)
    return Predicted(rows, len(parts), asked)


def check_folder_for(folder: Path) -> None:
    """Raises `InputError` when there is something else than predictions."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is no folder: expected the name of one, for the predictions.")
    if folder.exists() and not (folder / _PLAN).exists() and any(folder.iterdir()):
        raise InputError(
            f"{folder} is not empty: expected a new or an empty folder, or one in which the same prediction was "
            "stopped."
        )


def _begin(folder: Path, identity: Mapping[str, Any]) -> None:
    """Write the plan, or find the same one. Raises `InputError`."""
    check_folder_for(folder)
    document = json.dumps(identity, indent=1)
    plan = folder / _PLAN
    if not plan.exists():
        write_text(document, plan)
    elif plan.read_text(encoding="utf-8", errors="replace") != document:
        raise InputError(
            f"{folder} has predictions of other examples, another version or other settings ({plan}). Name another "
            "folder, or remove it."
        )
    _remove_halves(folder)


def _remove_halves(folder: Path) -> None:
    """Remove what killed processes were writing."""
    for half in folder.glob(".part-*.parquet.*"):
        with contextlib.suppress(OSError):
            half.unlink()


def _file_name(part: Part) -> str:
    return f"part-{part.key}.parquet"
