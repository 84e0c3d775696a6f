"""TFRecord files of tf.Example, without TensorFlow.

A record is its length (uint64), the length's checksum, the bytes, their checksum; both are CRC-32C, rotated and shifted
so that a checksum of checksums is no special case (tensorflow/core/lib/io/record_writer.h, lib/hash/crc32c.h).
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import itertools
import shlex
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from atelier_client._files import require_file
from atelier_client._layout import LabelKind
from atelier_client.data.parts import Part
from atelier_client.data.table import Table, file_sha256
from atelier_client.errors import DataError

_HEAD = struct.Struct("<QI")
_FOOT = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8
# A damaged length could otherwise ask for exabytes. No longer record could be sent to a server anyway.
_LONGEST = 2**31


class CutShortError(DataError):
    """A file ends within a record: its writer was killed, or is still writing. `end` is where the whole ones end."""

    def __init__(self, message: str, end: int) -> None:
        super().__init__(message)
        self.end = end


class TfrecordReader:
    """Each feature as a column: a number, bytes, or an array [k] a record; all records have the same features."""

    row_word = "record"
    label_kind: LabelKind | None = None
    rows: int | None = None

    def __init__(self, paths: Sequence[Path], name: str | None = None) -> None:
        self.files = list(paths)
        for path in self.files:
            require_file(path)
        self.name = name or self.files[0].stem

    def tables(self, rows: int) -> Iterator[Table]:
        """See `Reader`."""
        for path in self.files:
            records = read_records(path)
            first = 0
            while part := _next(path, records, rows):
                yield _table(path, part, first)
                first += len(part)
            if not first:
                raise DataError(f"{path} is empty: expected records of tf.Example.")

    def parts(self, rows: int) -> list[Part]:
        """See `PartsReader`; only the lengths are read. A gzipped file is one part."""
        found: list[Part] = []
        for number, path in enumerate(self.files):
            before = 0
            for block, (at, count) in enumerate(_runs(path, rows)):
                first = found[-1].first + found[-1].rows if found else 0
                found.append(Part(number, block, first, before, count, at))
                before += count
            if not before:
                raise DataError(f"{path} is empty: expected records of tf.Example.")
        return found

    def tables_of(self, part: Part, rows: int) -> Iterator[Table]:
        """See `PartsReader`."""
        path = self.files[part.file]
        records = itertools.islice(read_records(path, at=part.at, number=part.before + 1), part.rows)
        first = part.before
        while cells := _next(path, records, rows):
            yield _table(path, cells, first)
            first += len(cells)

    def sha256(self) -> str:
        """The file's digest; of several files, the digest of their digests in a row."""
        digests = [file_sha256(path) for path in self.files]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def read_records(
    path: Path, damaged: Callable[[str], None] | None = None, *, at: int = 0, number: int = 1
) -> Iterator[bytes]:
    """The records' bytes, checksums checked; gzipped or not. Raises `DataError`.

    They begin with record `number`, at the byte `at` of the (uncompressed) file. With `damaged`, a record whose bytes
    are damaged and whose length is not is passed over, and the sentence about it goes there.
    """
    import google_crc32c

    end = at
    try:
        with _opened(path) as handle:
            handle.seek(at)
            while head := handle.read(_HEAD.size):
                if len(head) < _HEAD.size:
                    raise CutShortError(f"{path}, record {number}: the file ends within it.", end)
                length, checksum = _HEAD.unpack(head)
                if _masked(google_crc32c.value(head[:8])) != checksum or length > _LONGEST:
                    wrong = (
                        "it does not begin as a TFRecord does"
                        if number == 1
                        else "its length is damaged (checksum)"
                    )
                    raise DataError(f"{path}, record {number}: {wrong}.")
                data = handle.read(length)
                foot = handle.read(_FOOT.size)
                if len(data) < length or len(foot) < _FOOT.size:
                    raise CutShortError(f"{path}, record {number}: the file ends within it.", end)
                if _masked(google_crc32c.value(data)) != _FOOT.unpack(foot)[0]:
                    reason = f"{path}, record {number}: its bytes are damaged (checksum)."
                    if damaged is None:
                        raise DataError(reason)
                    damaged(reason)
                else:
                    yield data
                number += 1
                end += _HEAD.size + length + _FOOT.size
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}, record {number}: {error}.") from None


def _runs(path: Path, rows: int) -> Iterator[tuple[int, int]]:
    """Runs of at most so many records: where each begins, and how many it has. Raises `DataError`.

    Nothing is checked: of a damaged record, reading says what is wrong with it.
    """
    packed = path.suffix == ".gz"
    at = position = count = 0
    try:
        with _opened(path) as handle:
            while head := handle.read(_HEAD.size):
                if count == rows and not packed:
                    yield at, count
                    at, count = position, 0
                count += 1
                length = _HEAD.unpack(head)[0] if len(head) == _HEAD.size else _LONGEST + 1
                if length > _LONGEST:
                    break
                position += _HEAD.size + length + _FOOT.size
                handle.seek(position)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: {error}.") from None
    if count:
        yield at, count


def framed(record: bytes) -> bytes:
    """A record's bytes as they stand in a file."""
    import google_crc32c

    length = len(record).to_bytes(8, "little")
    head = _HEAD.pack(len(record), _masked(google_crc32c.value(length)))
    return head + record + _FOOT.pack(_masked(google_crc32c.value(record)))


def end_of_records(path: Path) -> int:
    """Where the last whole record of a file ends, in bytes; a record that is cut short there is left out.

    Raises `DataError` for a record that is damaged otherwise.
    """
    end = 0
    with contextlib.suppress(CutShortError):
        for record in read_records(path):
            end += _HEAD.size + len(record) + _FOOT.size
    return end


def _next(path: Path, records: Iterator[bytes], count: int) -> list[bytes]:
    """The next records. One that is cut short is an error with its remedy: to leave it out unasked would be to measure
    on fewer examples than the file has.
    """
    try:
        return list(itertools.islice(records, count))
    except CutShortError as error:
        remedy = (
            "Write the file again."
            if path.suffix == ".gz"
            else f"`truncate -s {error.end} {shlex.quote(str(path))}` takes it away and leaves the whole ones; a file "
            "of feedback is mended too when the console saves the next example."
        )
        raise DataError(f"{error} {remedy}") from None


def _table(path: Path, records: Sequence[bytes], first: int) -> Table:
    from google.protobuf.message import DecodeError

    from atelier_client.protos.serving_pb2 import Example

    columns: dict[str, list[Any]] = {}
    kinds: dict[str, str] = {}
    for number, record in enumerate(records, first + 1):
        try:
            features = Example.FromString(record).features.feature
        except DecodeError:
            raise DataError(f"{path}, record {number}: it is no tf.Example.") from None
        if number == first + 1:
            kinds = {name: str(feature.WhichOneof("kind")) for name, feature in sorted(features.items())}
            columns = {name: [] for name in kinds}
        if len(features) != len(kinds):
            raise DataError(
                f"{path}, record {number}: it has the features {', '.join(sorted(features)) or 'none'}, those before "
                f"{', '.join(kinds) or 'none'}."
            )
        for name, kind in kinds.items():
            # `features[name]` would add a missing feature to the message.
            feature = features.get(name)
            if feature is None or feature.WhichOneof("kind") != kind:
                raise DataError(
                    f"{path}, record {number}, feature {name}: expected {kind} as in those before."
                )
            columns[name].append(getattr(feature, kind).value)
    return {name: _column(path, name, kinds[name], values, first) for name, values in columns.items()}


def _column(path: Path, name: str, kind: str, values: list[Any], first: int) -> NDArray[Any]:
    length = len(values[0])
    for number, value in enumerate(values, first + 1):
        if len(value) != length or not length:
            raise DataError(
                f"{path}, record {number}, feature {name}: expected {length or 'one or more'} values, got {len(value)}."
            )
    if kind == "bytes_list":
        texts = np.empty([len(values), length], object)
        texts[:] = [list(value) for value in values]
        return texts[:, 0] if length == 1 else texts
    dtype = np.int64 if kind == "int64_list" else np.float32
    flat = np.fromiter(itertools.chain.from_iterable(values), dtype, len(values) * length)
    return flat if length == 1 else flat.reshape(len(values), length)


def _masked(checksum: int) -> int:
    return (((checksum >> 15) | (checksum << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else open(path, "rb")
