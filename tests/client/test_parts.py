"""A source read part by part, by a reader of its own each, is the source; errors name the same rows."""

import csv
import gzip
import io
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from atelier_client.data.open import open_reader
from atelier_client.data.parts import PartsReader, require_parts
from atelier_client.data.table import Table
from atelier_client.data.tfrecord import framed
from atelier_client.errors import DataError
from atelier_client.protos.serving_pb2 import Example
from PIL import Image

ROWS = 100


def text_of_csv(last: str = "") -> str:
    """Cells with line ends, quotes and letters of several bytes, and empty lines between the rows."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["number", "text", "label"])
    words = random.Random(1)
    for row in range(ROWS):
        writer.writerow([row, '"ü"\n\r\n,;' * words.randint(0, 3), "ab"[row % 2]])
        text.write("\n" * words.randint(0, 2))
    return text.getvalue() + last


def plain_csv(folder: Path) -> Path:
    (folder / "a.csv").write_text(text_of_csv(), encoding="utf-8", newline="")
    return folder / "a.csv"


def csv_with_a_mark(folder: Path) -> Path:
    (folder / "a.csv").write_text(text_of_csv(), encoding="utf-8-sig", newline="")
    return folder / "a.csv"


def gzipped_csv(folder: Path) -> Path:
    (folder / "a.csv.gz").write_bytes(gzip.compress(text_of_csv().encode()))
    return folder / "a.csv.gz"


def folder_of_csv(folder: Path) -> Path:
    (folder / "shards").mkdir()
    for name in ("b.csv", "a.csv"):
        (folder / "shards" / name).write_text(text_of_csv(), encoding="utf-8", newline="")
    (folder / "shards" / "_SUCCESS").touch()
    return folder / "shards"


def folder_of_parquet(folder: Path) -> Path:
    (folder / "shards").mkdir()
    for number in range(3):
        table = pyarrow.table({"number": np.arange(50) + 50 * number, "label": ["a"] * 50})
        pyarrow.parquet.write_table(table, folder / "shards" / f"{number}.parquet", row_group_size=20)
    return folder / "shards"


def records(count: int) -> bytes:
    found = b""
    for number in range(count):
        example = Example()
        example.features.feature["number"].int64_list.value.append(number)
        example.features.feature["text"].bytes_list.value.append(b"x" * number)
        found += framed(example.SerializeToString())
    return found


def tfrecord(folder: Path) -> Path:
    (folder / "a.tfrecord").write_bytes(records(ROWS))
    return folder / "a.tfrecord"


def folder_of_tfrecord(folder: Path) -> Path:
    for number in range(2):
        (folder / f"{number}.tfrecord").write_bytes(records(ROWS // 2 + number))
    return folder


def gzipped_tfrecord(folder: Path) -> Path:
    (folder / "a.tfrecord.gz").write_bytes(gzip.compress(records(ROWS)))
    return folder / "a.tfrecord.gz"


def images(folder: Path) -> Path:
    for number in range(20):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4), number).save(path)
    return folder


def columns(tables: Iterable[Table]) -> Any:
    found = list(tables)
    return {name: np.concatenate([table[name] for table in found]).tolist() for name in found[0]}


def opened(path: Path) -> tuple[Any, PartsReader]:
    reader = open_reader(path)
    return reader, require_parts(reader, path)


@pytest.mark.parametrize(
    ("write", "parts", "rows"),
    [
        (plain_csv, 6, 17),
        (csv_with_a_mark, 6, 17),
        (gzipped_csv, 1, 17),
        (folder_of_csv, 12, 17),
        (folder_of_parquet, 9, 17),
        (tfrecord, 6, 17),
        (folder_of_tfrecord, 6, 17),
        (gzipped_tfrecord, 1, 17),
        (images, 7, 3 * 64),
    ],
)
def test_the_parts_are_the_source(
    tmp_path: Path, write: Callable[[Path], Path], parts: int, rows: int
) -> None:
    path = write(tmp_path)
    reader, parted = opened(path)
    found = parted.parts(rows)
    whole = columns(reader.tables(7))
    assert len(found) == parts == len({part.key for part in found})
    assert sorted(found, key=lambda part: part.key) == found
    first = 0
    for part in found:
        assert part.first == first
        # A reader that has read nothing else, as another process has it.
        got = columns(opened(path)[1].tables_of(part, 5))
        assert got == {name: column[first : first + part.rows] for name, column in whole.items()}
        first += part.rows
    assert first == len(next(iter(whole.values())))


@pytest.mark.parametrize("last", ["1,2\n", '7,"open,a\n', "1,2,3,4\n"])
def test_an_error_in_a_part_names_the_row_of_the_file(tmp_path: Path, last: str) -> None:
    (tmp_path / "a.csv").write_text(text_of_csv(last), newline="")
    messages = set()
    reader, parted = opened(tmp_path / "a.csv")
    with pytest.raises(DataError) as raised:
        list(reader.tables(7))
    messages.add(str(raised.value))
    with pytest.raises(DataError) as raised:
        columns(table for part in parted.parts(30) for table in parted.tables_of(part, 7))
    messages.add(str(raised.value))
    assert len(messages) == 1
    assert f"row {ROWS + 1}" in messages.pop()


@pytest.mark.parametrize("cut", [3, 30, 200])
def test_a_record_that_is_cut_short_is_told_as_by_one_process(tmp_path: Path, cut: int) -> None:
    path = tfrecord(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    reader, parted = opened(path)
    with pytest.raises(DataError) as whole:
        list(reader.tables(7))
    with pytest.raises(DataError) as by_parts:
        columns(table for part in parted.parts(30) for table in parted.tables_of(part, 7))
    assert str(by_parts.value) == str(whole.value)
    assert "the file ends within it" in str(whole.value)


def test_files_of_other_columns_and_sources_without_parts_are_told(tmp_path: Path) -> None:
    folder = folder_of_csv(tmp_path)
    (folder / "c.csv").write_text("label,number\n1,2\n")
    with pytest.raises(DataError, match=r"c\.csv has the columns label, number, and a\.csv has number, text"):
        open_reader(folder)
    np.save(tmp_path / "a.npy", np.ones(3))
    with pytest.raises(DataError, match=r"a\.npy is read as a whole"):
        opened(tmp_path / "a.npy")
