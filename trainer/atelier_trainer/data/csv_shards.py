"""CSV shards that are too large for memory: checked once in chunks, then read through tf.data in each epoch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from atelier_trainer.data import csv_file, csv_header
from atelier_trainer.data.column_check import ColumnCheck
from atelier_trainer.data.columns import Column, seen_in_training
from atelier_trainer.data.csv_cells import Dialect
from atelier_trainer.data.csv_file import Schema
from atelier_trainer.data.dataset import sha256_of
from atelier_trainer.data.labels import classes_of, ids_of_distinct, require_two
from atelier_trainer.errors import DataInvalid
from atelier_trainer.printable import say

# The next example is drawn from this many; with 784 float columns they take about 60 MB.
SHUFFLE_BUFFER = 20_000
READ_AT_ONCE = 4
_TRUTH = re.compile("true|false", re.IGNORECASE)
# Spaces that Python strips from a cell and TensorFlow does not.
_SPACE = "[\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"


class CsvShards:
    """The `Stream` (dataset.py) of CSV files with the same columns. Raises `DataInvalid` while checking them."""

    def __init__(
        self,
        paths: Sequence[Path],
        schema: Schema,
        columns: Sequence[Column],
        class_names: Sequence[str] | None,
        image: Sequence[int] | None,
    ) -> None:
        self._paths = list(paths)
        self._schema = schema
        self._columns = list(columns)
        if not _is_streamable(schema.dialect):
            raise DataInvalid(
                f"data.encoding: {schema.dialect.encoding} cannot be streamed; write the files in UTF-8, or leave "
                "data.stream out."
            )
        self._check = ColumnCheck(schema.numbers)
        self._plain = True
        categories: list[set[str]] = [set() for _ in schema.categories]
        # For each file: from a label to the row of its first occurrence and the number of its occurrences.
        self._labels: list[dict[str, tuple[int, int]]] = []
        digests = []
        for number, path in enumerate(self._paths, 1):
            say(f"data: checking {path.name} ({number} of {len(self._paths)})")
            # TensorFlow's parser of numbers knows neither True nor False, which pandas' reads.
            if _require_rows_in_lines(path, schema.dialect):
                self._plain = False
            row = 1
            found: dict[str, tuple[int, int]] = {}
            for chunk in csv_file.chunks(path, schema):
                if image:
                    csv_file.as_bytes(chunk.numbers, path, schema.numbers, row)
                self._check.add(chunk.numbers)
                self._plain = self._plain and chunk.plain
                for index, values in enumerate(categories):
                    values.update(chunk.categories[:, index])
                for label, count in Counter(chunk.labels).items():
                    first, before = found.get(label, (row + int(np.argmax(chunk.labels == label)), 0))
                    found[label] = (first, before + count)
                row += len(chunk.labels)
            self._labels.append(found)
            digests.append(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
        self.warnings = [] if image else self._check.findings(self._paths[0])
        self.mean = self._check.moments.mean
        self.variance = self._check.moments.variance
        self.features: tuple[Column, ...] = ()
        if schema.dialect.missing or schema.categories:
            gaps = self._check.moments.missing.tolist()
            self.features = seen_in_training(columns, gaps, categories)
        self._count_classes(class_names)
        # Names, sizes and times are hashed instead of the content: to hash it, all files would be read a second time.
        self.sha256 = sha256_of(*digests)

    def _count_classes(self, class_names: Sequence[str] | None) -> None:
        label = self._schema.label
        counts = Counter[str]()
        for found in self._labels:
            counts.update({cell: count for cell, (_, count) in found.items()})
        self.class_names = tuple(
            class_names or classes_of(np.array([*counts.elements()], object), self._paths[0], label)
        )
        self._class_of: dict[str, int] = {}
        self.counts = np.zeros(len(self.class_names), np.int64)
        for path, found in zip(self._paths, self._labels, strict=True):
            rows = [row for row, _ in found.values()]
            ids = ids_of_distinct(list(found), rows, self.class_names, path, label)
            self._class_of |= dict(zip(found, ids.tolist(), strict=True))
            np.add.at(self.counts, ids, [count for _, count in found.values()])
        require_two(self.counts, self.class_names, self._paths[0])

    def __len__(self) -> int:
        return int(self.counts.sum())

    def batches(self, batch_size: int, seed: Any) -> Any:
        """A tf.data.Dataset of (float32 [B,columns], int64 [B]), shuffled by `seed` (int64 scalar tensor)."""
        import tensorflow as tf

        dialect = self._schema.dialect
        headers = [csv_header.read(path, self._schema.label, dialect) for path in self._paths]
        if any(header != headers[0] for header in headers):
            raise DataInvalid(
                f"{self._paths[0].parent}: shards that are streamed need their columns in one order."
            )
        files = tf.data.Dataset.from_tensor_slices(
            (
                [str(path) for path in self._paths],
                ["GZIP" if path.suffix.lower() == ".gz" else "" for path in self._paths],
            )
        )
        lines = files.shuffle(len(self._paths), seed=seed).interleave(
            _lines, cycle_length=READ_AT_ONCE, block_length=16
        )
        parse = self._parser(headers[0])
        return lines.shuffle(SHUFFLE_BUFFER, seed=seed).batch(batch_size).map(parse, num_parallel_calls=2)

    def _parser(self, header: Sequence[str]) -> Any:
        """Lines [B] to (float32 [B,columns], int64 [B])."""
        import tensorflow as tf

        dialect = self._schema.dialect
        places = {name: place for place, name in enumerate(header)}
        inputs = {column.name for column in self._columns}
        as_numbers = self._plain and dialect.decimal == "." and not self._schema.categories
        defaults = [[0.0] if as_numbers and name in inputs else [""] for name in header]
        labels = self._table(self._class_of)
        features = {column.name: column for column in self.features}

        def column_of(cells: Any, name: str) -> Any:
            if as_numbers:
                return cells
            column = features.get(name)
            if column is None or column.kind == "number":
                return self._numbers(cells)
            return tf.cast(self._table(column.indices()).lookup(self._without_missing(cells, "")), tf.float32)

        def parse(lines: Any) -> tuple[Any, Any]:
            cells = tf.io.decode_csv(lines, defaults, field_delim=dialect.separator)
            found = labels.lookup(tf.strings.strip(cells[places[self._schema.label]]))
            # All labels were read while the files were checked: an unknown one means that a file has changed since.
            with tf.control_dependencies([tf.debugging.assert_non_negative(found)]):
                rows = [column_of(cells[places[column.name]], column.name) for column in self._columns]
                return tf.stack(rows, axis=1), found

        return parse

    def _numbers(self, cells: Any) -> Any:
        """Cells [B] as float32, NaN where they are missing."""
        import tensorflow as tf

        text = tf.strings.lower(self._without_missing(cells, "nan"))
        text = tf.where(text == "true", "1", tf.where(text == "false", "0", text))
        if self._schema.dialect.decimal != ".":
            text = tf.strings.regex_replace(text, self._schema.dialect.decimal, ".")
        numbers = tf.strings.to_number(text, tf.float64)
        for value in self._schema.dialect.missing_numbers:
            numbers = tf.where(numbers == tf.constant(value, tf.float64), np.float64("nan"), numbers)
        return tf.cast(numbers, tf.float32)

    def _without_missing(self, cells: Any, instead: str) -> Any:
        import tensorflow as tf

        text = tf.strings.strip(cells)
        for word in self._schema.dialect.missing:
            text = tf.where(text == self._bytes(word), instead, text)
        return text

    def _table(self, numbers: Mapping[str, int]) -> Any:
        """A lookup table from texts, in the file's encoding, to numbers; -1 for any other text."""
        import tensorflow as tf

        keys = tf.constant([self._bytes(text) for text in numbers], tf.string)
        values = tf.constant(list(numbers.values()), tf.int64)
        return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), -1)

    def _bytes(self, text: str) -> bytes:
        return text.encode(self._schema.dialect.encoding)


def _is_streamable(dialect: Dialect) -> bool:
    """True when TensorFlow, which splits bytes, splits lines and cells where Python does.

    ASCII must be itself, and no part of another character may be one of the signs that split.
    """
    plain = "".join(map(chr, range(128)))
    others = "".join(map(chr, (*range(128, 0xD800), *range(0xE000, 0xFFFE))))
    try:
        if plain.encode(dialect.encoding) != plain.encode("ascii"):
            return False
        return not set(others.encode(dialect.encoding, "ignore")) & {*f'\r\n\t "{dialect.separator}'.encode()}
    except UnicodeError:
        # Encodings of domain names do not know how to ignore.
        return False


def _require_rows_in_lines(path: Path, dialect: Dialect) -> bool:
    """True when a line has the word True or False, in any capitals. Raises `DataInvalid` for a line that TensorFlow,
    which reads line by line, reads differently from the checks."""
    sign = re.escape(dialect.separator)
    cell = rf'(?:"(?:[^"]|"")*"|[^"{sign}]*)'
    row = re.compile(rf"{cell}(?:{sign}{cell})*\r?\n?")
    spaces = re.compile(rf'(?:^|[{sign}"]){_SPACE}|{_SPACE}(?:$|[{sign}"\r\n])')
    with csv_header.open_csv(path, dialect) as handle:
        truth = False
        for number, line in enumerate(handle, 1):
            truth = truth or bool(_TRUTH.search(line))
            wrong = None
            if line.endswith("\r"):
                wrong = "ends with a carriage return alone"
            elif '"' in line and not row.fullmatch(line):
                wrong = "has a quote within a cell, or a cell that goes on in the next line"
            elif not (line.isascii() and line.rstrip("\r\n").isprintable()) and spaces.search(line):
                wrong = "has a space of Unicode at the side of a cell"
            if wrong:
                raise DataInvalid(
                    f"{path}, line {number} {wrong}: such a file cannot be streamed. Leave data.stream out, or write "
                    "it without."
                )
    return truth


def _lines(path: Any, compression: Any) -> Any:
    """The rows of a file, without its header and empty lines."""
    import tensorflow as tf

    lines = tf.data.TextLineDataset(path, compression_type=compression)
    return lines.filter(lambda line: ~tf.strings.regex_full_match(line, "\ufeff?[ \t]*")).skip(1)
