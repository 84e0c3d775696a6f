"""CSV shards that are too large for memory: checked once in chunks, then read through tf.data in each epoch."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from atelier_trainer.data import csv_file
from atelier_trainer.data.dataset import sha256_of
from atelier_trainer.data.labels import class_ids, classes_of
from atelier_trainer.errors import DataInvalid

# Examples among which the next one is drawn; with 784 float columns about 60 MB.
SHUFFLE_BUFFER = 20_000
READ_AT_ONCE = 4


class Moments:
    """Count, mean and variance of columns, gathered chunk by chunk (Chan, Golub, LeVeque 1983)."""

    def __init__(self, columns: int) -> None:
        self.count = 0
        self.mean, self._squares = np.zeros(columns), np.zeros(columns)

    def add(self, chunk: np.ndarray) -> None:
        """Add rows [n,columns]."""
        rows = len(chunk)
        mean = chunk.mean(axis=0, dtype=np.float64)
        squares = ((chunk - mean) ** 2).sum(axis=0, dtype=np.float64)
        shift, total = mean - self.mean, self.count + rows
        self._squares += squares + shift**2 * self.count * rows / total
        self.mean += shift * rows / total
        self.count = total

    @property
    def variance(self) -> np.ndarray:
        """Of the population, float64 [columns]."""
        return self._squares / max(self.count, 1)


class CsvShards:
    """The `Stream` (dataset.py) of CSV files with the same columns. Raises `DataInvalid` while checking them."""

    def __init__(
        self, paths: Sequence[Path], label: str, columns: Sequence[str], class_names: Sequence[str] | None
    ) -> None:
        self._paths, self._label, self._columns = list(paths), label, list(columns)
        moments, cells = Moments(len(columns)), Counter[str]()
        digests = []
        for number, path in enumerate(self._paths, 1):
            print(f"data: checking {path.name} ({number} of {len(self._paths)})", file=sys.stderr, flush=True)
            row = 1
            for numbers, part in csv_file.number_chunks(path, label, self._columns):
                if class_names:
                    class_ids(part, class_names, path, label, first_row=row)
                moments.add(numbers)
                cells.update(part)
                row += len(part)
            digests.append(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
        self.class_names = tuple(class_names or classes_of(cells, self._paths[0]))
        self.mean, self.variance = moments.mean, moments.variance
        self.counts = np.zeros(len(self.class_names), np.int64)
        for cell, count in cells.items():
            self.counts[class_ids([cell], self.class_names, self._paths[0], label)[0]] += count
        # Of names, sizes and times: hashing what does not fit in memory would double the reading.
        self.sha256 = sha256_of(*digests)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def batches(self, batch_size: int, seed: Any) -> Any:
        """A tf.data.Dataset of (float32 [B,columns], int64 [B]), shuffled by `seed` (int64 scalar tensor)."""
        import tensorflow as tf

        header = csv_file.read_header(self._paths[0], self._label)
        orders = {tuple(csv_file.read_header(path, self._label)) for path in self._paths}
        if len(orders) > 1:
            raise DataInvalid(
                f"{self._paths[0].parent}: shards that are streamed need their columns in one order."
            )
        at = header.index(self._label)
        defaults = [[""] if index == at else [0.0] for index in range(len(header))]
        order = [index for index in range(len(header)) if index != at]
        known = {str(index): index for index in range(len(self.class_names))}
        known |= {name: index for index, name in enumerate(self.class_names)}
        table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(list(known), list(known.values()), value_dtype=tf.int64), -1
        )

        def parse(lines: Any) -> tuple[Any, Any]:
            cells = tf.io.decode_csv(lines, defaults)
            return tf.stack([cells[index] for index in order], axis=1), table.lookup(
                tf.strings.strip(cells[at])
            )

        files = tf.data.Dataset.from_tensor_slices([str(path) for path in self._paths])
        lines = files.shuffle(len(self._paths), seed=seed).interleave(
            lambda path: (
                tf.data.TextLineDataset(path).skip(1).filter(lambda line: tf.strings.length(line) > 0)
            ),
            cycle_length=READ_AT_ONCE,
            block_length=16,
        )
        return lines.shuffle(SHUFFLE_BUFFER, seed=seed).batch(batch_size).map(parse, num_parallel_calls=2)
