"""Evaluates a served model by several processes. The numbers are those of one process, to the last example.

Ray Data's part is to hand out the parts of the data and to run a part again whose actor died. The examples are read by
the client's own readers: labels, columns and the dialect of CSV files are as without Ray.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from atelier_client import __version__
from atelier_client.client import Client
from atelier_client.data import parts as data_parts
from atelier_client.data.parts import Part, PartsReader, require_parts
from atelier_client.data.table import Reader
from atelier_client.distributed import pool
from atelier_client.distributed.parts_folder import PartsFolder, files_of
from atelier_client.distributed.said import Said
from atelier_client.distributed.state import PartState
from atelier_client.errors import ClientError, InputError
from atelier_client.evaluation.outputs import not_measured
from atelier_client.evaluation.passes.ask import ask
from atelier_client.evaluation.passes.evaluate import MISTAKES, EvaluationResult, add, check_first
from atelier_client.evaluation.progress import Progress
from atelier_client.evaluation.question import Question
from atelier_client.evaluation.settings import Settings


@dataclass(frozen=True)
class _Count:
    """The work on a part (`pool.Work`): ask about its rows, and count the answers."""

    asked: Question
    settings: Settings
    examples: int

    def __call__(self, client: Client, reader: PartsReader, part: Part) -> bytes:
        result = EvaluationResult.of(self.asked, self.settings)
        tables = reader.tables_of(part, self.asked.rows_at_once)
        for _ in add(result, client, tables, part.first, self.settings, lambda reason: None):
            pass
        result.findings.compact(self.examples)
        return PartState.of(result).packed()


def evaluate(
    client: Client,
    reader: Reader,
    settings: Settings,
    progress: Progress,
    *,
    connection: pool.Connection,
    path: Path,
    actors: int,
    folder: Path,
) -> EvaluationResult:
    """As `passes.evaluate`, by so many actors; this process is connected to Ray (`cluster.connected`).

    `connection` makes the actors' clients, `path` is where they find what `reader` reads. Parts that are done are kept
    in `folder` until all are: an evaluation that was stopped goes on from them.
    """
    source = pool.Source(path.resolve(), settings.layout)
    parted = require_parts(reader, path)
    asked = ask(client, reader, settings, Said(progress.say))
    for sentence in not_measured(asked.served, asked.output):
        progress.say(sentence)
    result = EvaluationResult.of(asked, settings)
    # The first table decides how all are read; the actors' copies have it so.
    first = next(iter(reader.tables(asked.rows_at_once)), None)
    if first is None:
        raise InputError(f"{reader.name} holds no examples.")
    check_first(result, first, settings)
    parts = parted.parts(data_parts.ROWS)
    kept = PartsFolder(
        folder,
        {
            "client": __version__,
            "target": client.target,
            "model": client.model,
            "signature": str(asked.served),
            "settings": str(replace(settings, patience=0)),
            "classes": asked.names,
            "files": files_of(parted),
            "parts": len(parts),
        },
    )
    left = _left(parts, kept, progress)
    work = _Count(asked, settings, sum(part.rows for part in parts))
    moment = time.perf_counter()
    values = EvaluationResult.of(asked, settings).slices.masks
    try:
        if left:
            for part, packed in pool.run(connection, source, left, work, actors):
                if settings.slices:
                    # Too many values of a slice are told now, not when all is asked.
                    values.know(PartState.unpacked(packed).values)
                before, moment = moment, time.perf_counter()
                kept.put(part.key, packed, moment - before)
                progress.advance(part.rows)
    except (ClientError, KeyboardInterrupt) as stopped:
        if isinstance(stopped, MISTAKES):
            raise
        result.stopped = stopped
    # In the order of the source, one at a time: the same sums, lists and memory however the parts came.
    for part in parts:
        if (found := kept.get(part.key)) is not None:
            state, seconds = found
            state.add_to(result)
            result.seconds += seconds
    if result.stopped is None:
        kept.remove()
    elif not result.examples:
        raise result.stopped
    return result


def _left(parts: list[Part], kept: PartsFolder, progress: Progress) -> list[Part]:
    """The parts that are not done. Says what is there."""
    if kept.left_by_another:
        progress.say(
            "What an evaluation that was stopped had left was of other examples or settings: it is removed."
        )
    done = kept.done()
    left = [part for part in parts if part.key not in done]
    if len(left) < len(parts):
        rows = sum(part.rows for part in parts if part.key in done)
        progress.say(
            f"Of {len(parts):,} parts {len(parts) - len(left):,} are done ({rows:,} examples), by a run that was "
            "stopped; the others are asked."
        )
        progress.advance(rows)
    return left
