"""Reads a request log: the files of all processes that wrote it, together in the order of time."""

from __future__ import annotations

import heapq
import logging
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from atelier_client.data.tfrecord import CutShortError, read_records
from atelier_client.errors import DataError
from atelier_client.request_log.log_files import LogFile, is_being_written, log_files
from atelier_client.request_log.logged_request import ForeignRecordError, LoggedRequest, parse
from atelier_client.request_log.remarks import Remarks

_log = logging.getLogger("atelier_client")
# A record is written when its request ends. Threads end and clocks are read in another order by less than this.
_JITTER = timedelta(seconds=1)


def read(
    folder: str | os.PathLike[str], model: str | None = None, *, remarks: Remarks | None = None
) -> Iterator[LoggedRequest]:
    """The requests of a log, of one model or of all, in the order of time as far as the clocks allow.

    Records that are torn, and those that are none of a request log, are left out: they are counted in `remarks`, and
    the first one of each file is named there; without `remarks`, in the log of this program (logger `atelier_client`).
    A torn record ends its file (one that is being written now is none), and reading goes on with the next one; after a
    record whose bytes alone are damaged, with the next record. The records say which model was asked; of a file with
    another model's name the first one does, so that not all of it has to be read. Where a
    clock was set back, the records are kept in the order in which they were written, and that is said too. A file that
    is deleted meanwhile, as old ones are, is passed over. In memory is one record of each file that was written at the
    same time.

    Raises `DataError` when there is no such folder.
    """
    return _merged(log_files(Path(folder)), model, remarks)


def _merged(files: Sequence[LogFile], model: str | None, remarks: Remarks | None) -> Iterator[LoggedRequest]:
    waiting = list(files)[::-1]
    said = Remarks() if remarks is None else remarks
    # The next record of each open file. The number makes every entry different, in the order of the files.
    heap: list[tuple[float, int, LoggedRequest, Iterator[LoggedRequest]]] = []
    opened = 0
    while waiting or heap:
        if waiting and (not heap or waiting[-1].made / 1000 <= heap[0][0]):
            file = waiting.pop()
            if model is not None and not file.may_have(model) and not _begins_with(file.path, model):
                continue
            requests = _of_file(file.path, model, said, remarks is None)
            opened += 1
            place = opened
        else:
            _, place, request, requests = heapq.heappop(heap)
            yield request
        following = next(requests, None)
        if following is not None:
            heapq.heappush(heap, (following.time.timestamp(), place, following, requests))


def _of_file(path: Path, model: str | None, remarks: Remarks, to_log: bool) -> Iterator[LoggedRequest]:
    ended = None
    number = 0

    def leave_out(reason: str) -> None:
        if remarks.skip(path, reason) and to_log:
            _log.warning(reason)

    def damaged(reason: str) -> None:
        nonlocal number
        number += 1
        leave_out(f"{reason.removesuffix('.')}; it is left out.")

    try:
        for record in read_records(path, damaged):
            number += 1
            try:
                request = parse(record)
            except ForeignRecordError as error:
                leave_out(f"{path}, record {number}: left out: {error}.")
                continue
            if model is not None and request.model != model:
                continue
            now = request.time + timedelta(seconds=request.seconds)
            if ended is not None and now < ended - _JITTER:
                what = (
                    f"{path}, record {number}: the clock was set back from {ended:%Y-%m-%d %H:%M:%S} to "
                    f"{now:%Y-%m-%d %H:%M:%S} UTC; the records are kept with the times that they have."
                )
                if remarks.clock(path, what) and to_log:
                    _log.warning(what)
            ended = now
            yield request
    except DataError as error:
        if not path.exists():
            # Deleted since the folder was listed: a log keeps no more than it was told to.
            return
        if isinstance(error, CutShortError) and is_being_written(path):
            # The record that is written at this moment.
            return
        leave_out(f"{str(error).removesuffix('.')}; what follows in this file is left out.")


def _begins_with(path: Path, model: str) -> bool:
    """Whether the first record is one of the model's: a file of another model's name may have been renamed."""
    try:
        first = next(read_records(path), None)
        return first is not None and parse(first).model == model
    except (DataError, ForeignRecordError):
        return False
