"""TFRecord files of tf.Example as a data set: the int64 feature `label`, and features of numbers beside it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from atelier_trainer.data.column_check import ColumnCheck
from atelier_trainer.data.csv_dataset import shards
from atelier_trainer.data.csv_file import as_bytes
from atelier_trainer.data.csv_shards import READ_AT_ONCE, SHUFFLE_BUFFER
from atelier_trainer.data.dataset import DataSet, Examples, findings, sha256_of
from atelier_trainer.data.held_out_file import write_test_file
from atelier_trainer.data.labels import check_numbers, class_numbers, require_two
from atelier_trainer.errors import DataInvalid
from atelier_trainer.job import Job
from atelier_trainer.printable import say

CHECK_BATCH = 1000


def load(job: Job, data_folder: Path) -> DataSet:
    """Check the training records, read the test records; write them for the client. Raises `DataInvalid`."""
    section = job.data
    paths = shards(section.tfrecord or "", job.folder)
    layout = Layout.of(paths[0], section.label, image=bool(section.image))
    shape = tuple(section.image or [len(layout.columns)])
    if np.prod(shape) != len(layout.columns):
        raise DataInvalid(
            f"{paths[0]}: an image of {list(shape)} does not have {len(layout.columns)} values."
        )
    train = TfrecordShards(paths, layout, section.class_names)
    names = train.class_names
    test = _read_all(shards(section.test or "", job.folder), layout, names)
    validation = _read_all([job.folder / section.validation], layout, names) if section.validation else None
    if section.image:
        test = replace(test, inputs=test.inputs.astype(np.uint8).reshape(-1, *shape))
        validation = validation and replace(
            validation, inputs=validation.inputs.astype(np.uint8).reshape(-1, *shape)
        )
    data_set = DataSet(
        name=paths[0].stem,
        kind="image" if section.image else "table",
        class_names=names,
        shape=shape,
        train=train,
        test=test,
        test_file={},
        validation=validation,
        columns=() if section.image else layout.columns,
        warnings=(*findings(train, test, names), *train.warnings),
    )
    return replace(data_set, test_file=write_test_file(data_set, data_folder))


class Layout:
    """The features of a record: names, kinds and lengths, taken from the first one; all others must agree."""

    def __init__(self, label: str, features: dict[str, tuple[str, int]], *, image: bool) -> None:
        self.label = label
        self.features = features
        self.image = image
        self.columns = tuple(
            name if length == 1 else f"{name}{index}"
            for name, (_, length) in features.items()
            for index in range(length)
        )

    @classmethod
    def of(cls, path: Path, label: str, *, image: bool) -> Layout:
        """Read the layout from the first record. Raises `DataInvalid`."""
        import tensorflow as tf

        try:
            first = next(iter(tf.data.TFRecordDataset(str(path)).take(1)), None)
            if first is None:
                raise DataInvalid(f"{path} is empty: expected records of tf.Example.")
            example = tf.train.Example.FromString(first.numpy())
        except (tf.errors.OpError, DecodeError, ValueError) as error:
            raise DataInvalid(f"{path} is no TFRecord of tf.Example: {error}") from None
        features = {}
        for name, feature in sorted(example.features.feature.items()):
            kind = feature.WhichOneof("kind")
            if kind not in ("int64_list", "float_list"):
                raise DataInvalid(f"{path}, record 1, feature {name}: expected numbers, got {kind}.")
            features[name] = (kind, len(getattr(feature, kind).value))
        if features.pop(label, None) != ("int64_list", 1) or not features:
            raise DataInvalid(
                f"{path}, record 1: expected one int64 in the feature {label!r} and numbers in others, "
                f"got {', '.join(example.features.feature) or 'no feature'}."
            )
        layout = cls(label, features, image=image)
        if len(set(layout.columns)) < len(layout.columns):
            twice = next(name for name in layout.columns if layout.columns.count(name) > 1)
            raise DataInvalid(f"{path}: two features have a value called {twice!r}: give one another name.")
        return layout

    def parse(self, records: Any, exact: bool = False) -> tuple[Any, Any]:
        """Serialized tf.Example [B] to (float32 [B,columns], int64 [B]); `exact`: to float64."""
        import tensorflow as tf

        types = {"int64_list": tf.int64, "float_list": tf.float32}
        wanted = {
            name: tf.io.FixedLenFeature([length], types[kind])
            for name, (kind, length) in self.features.items()
        }
        parsed = tf.io.parse_example(records, {**wanted, self.label: tf.io.FixedLenFeature([], tf.int64)})
        values = [tf.cast(parsed[name], tf.float64 if exact else tf.float32) for name in self.features]
        return tf.concat(values, axis=1), parsed[self.label]

    def read(self, path: Path) -> Any:
        """Yield (float64 [n,columns], int64 [n]) of a file. Raises `DataInvalid` with the first wrong record."""
        import tensorflow as tf

        done = 0
        try:
            for records in tf.data.TFRecordDataset(str(path)).batch(CHECK_BATCH):
                numbers, labels = (item.numpy() for item in self.parse(records, exact=True))
                if not np.isfinite(numbers).all():
                    row, column = (int(item) for item in np.argwhere(~np.isfinite(numbers))[0])
                    raise DataInvalid(
                        f"{path}, record {done + row + 1}, feature {self.columns[column]}: expected a finite number."
                    )
                if self.image:
                    as_bytes(numbers, path, self.columns, done + 1)
                yield numbers, labels
                done += len(labels)
        except (tf.errors.OpError, UnicodeDecodeError) as error:
            # Of a record that is no tf.Example, TensorFlow's message holds bytes that Python cannot decode.
            raise DataInvalid(
                self._fault(path, done) or f"{path}, after record {done}: not readable as tf.Example: {error}"
            ) from None
        if not done:
            raise DataInvalid(f"{path} is empty: expected records of tf.Example.")

    def _fault(self, path: Path, done: int) -> str | None:
        """The message about the first wrong record after the record `done`, None when each is right."""
        import tensorflow as tf

        number = done
        expected = {**self.features, self.label: ("int64_list", 1)}
        try:
            for number, record in enumerate(tf.data.TFRecordDataset(str(path)).skip(done), done + 1):
                found = tf.train.Example.FromString(record.numpy()).features.feature
                for name, (kind, length) in expected.items():
                    got = found[name].WhichOneof("kind") if name in found else None
                    count = len(getattr(found[name], got).value) if got else 0
                    if (got, count) != (kind, length):
                        return (
                            f"{path}, record {number}, feature {name}: expected {length} of {kind}, as in the first "
                            f"record, got {f'{count} of {got}' if got else 'none'}."
                        )
        except DecodeError:
            return f"{path}, record {number}: it is no tf.Example."
        except tf.errors.OpError:
            return f"{path}, after record {number}: the file is damaged or cut off.{_remedy(path, number)}"
        return None


def _remedy(path: Path, whole: int) -> str:
    """What to do about a file that ends within the record after `whole` ones; empty for other damage.

    A record is its length (uint64), 4 bytes of checksum, its bytes and 4 more (tensorflow/core/lib/io/record_writer.h).
    """
    end, size = 0, path.stat().st_size
    with path.open("rb") as handle:
        for _ in range(whole + 1):
            handle.seek(end)
            following = end + int.from_bytes(handle.read(8), "little") + 16
            if following > size:
                return (
                    f" When its writer was stopped there: `truncate -s {end} {shlex.quote(str(path))}` leaves the "
                    f"{whole} records before; a file of feedback is mended too when the console saves the next example."
                )
            end = following
    return ""


class TfrecordShards:
    """The `Stream` (dataset.py) of TFRecord files. Raises `DataInvalid` while checking them."""

    def __init__(self, paths: Sequence[Path], layout: Layout, class_names: Sequence[str] | None) -> None:
        self._paths = list(paths)
        self._layout = layout
        check = ColumnCheck(layout.columns)
        # For each file: from a label to the record of its first occurrence and the number of its occurrences.
        found: list[dict[int, tuple[int, int]]] = []
        for number, path in enumerate(self._paths, 1):
            say(f"data: checking {path.name} ({number} of {len(self._paths)})")
            row = 1
            seen: dict[int, tuple[int, int]] = {}
            for numbers, labels in layout.read(path):
                check.add(numbers)
                for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
                    first, before = seen.get(int(label), (row + int(np.argmax(labels == label)), 0))
                    seen[int(label)] = (first, before + int(count))
                row += len(labels)
            found.append(seen)
        self.warnings = [] if layout.image else check.findings(self._paths[0])
        self.mean = check.moments.mean
        self.variance = check.moments.variance
        self.count = check.moments.count
        self._count_classes(found, class_names)
        files = [path.stat() for path in self._paths]
        self.sha256 = sha256_of(*(f"{status.st_size} {status.st_mtime_ns}".encode() for status in files))

    def _count_classes(
        self, found: Sequence[Mapping[int, tuple[int, int]]], class_names: Sequence[str] | None
    ) -> None:
        everything = np.repeat(
            np.array([label for seen in found for label in seen], np.int64),
            [count for seen in found for _, count in seen.values()],
        )
        self.class_names = tuple(class_names or class_numbers(everything, self._paths[0]))
        self.counts = np.zeros(len(self.class_names), np.int64)
        self._class_of: dict[int, int] = {}
        for path, seen in zip(self._paths, found, strict=True):
            rows = [row for row, _ in seen.values()]
            labels = np.array(list(seen), np.int64)
            ids = check_numbers(labels, self.class_names, path, rows, "record")
            self._class_of |= dict(zip(seen, ids.tolist(), strict=True))
            np.add.at(self.counts, ids, [count for _, count in seen.values()])
        require_two(self.counts, self.class_names, self._paths[0])

    def __len__(self) -> int:
        return self.count

    def batches(self, batch_size: int, seed: Any) -> Any:
        """A tf.data.Dataset of (float32 [B,columns], int64 [B]), shuffled by `seed` (int64 scalar tensor)."""
        import tensorflow as tf

        table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(list(self._class_of), tf.int64),
                tf.constant(list(self._class_of.values()), tf.int64),
            ),
            -1,
        )

        def parse(serialized: Any) -> tuple[Any, Any]:
            numbers, labels = self._layout.parse(serialized)
            ids = table.lookup(labels)
            with tf.control_dependencies([tf.debugging.assert_non_negative(ids)]):
                return tf.identity(numbers), ids

        files = tf.data.Dataset.from_tensor_slices([str(path) for path in self._paths])
        records = files.shuffle(len(self._paths), seed=seed).interleave(
            tf.data.TFRecordDataset, cycle_length=READ_AT_ONCE, block_length=16
        )
        return records.shuffle(SHUFFLE_BUFFER, seed=seed).batch(batch_size).map(parse, num_parallel_calls=2)


def _read_all(paths: Sequence[Path], layout: Layout, names: Sequence[str]) -> Examples:
    parts = []
    for path in paths:
        chunks = list(layout.read(path))
        labels = check_numbers(np.concatenate([part for _, part in chunks]), names, path, unit="record")
        parts.append((np.concatenate([part for part, _ in chunks]).astype(np.float32), labels))
    numbers, labels = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    return Examples(numbers, labels, sha256_of(numbers.data, labels.data))
