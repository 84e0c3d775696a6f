"""Every format gives the same examples, in pieces of any size; what is damaged is named with its place."""

import gzip
import io
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import tensorflow as tf
from atelier_client._layout import Layout
from atelier_client.data.binding import Binding
from atelier_client.data.open import open_reader
from atelier_client.data.tfrecord import TfrecordReader
from atelier_client.errors import DataError
from atelier_client.signature import Signature, TensorInfo
from PIL import Image

from tests.support.idx_files import write_split

ROWS = 23
NAMES = ("T-shirt/top", "Trouser", "Bag")
IMAGES = np.random.default_rng(0).integers(0, 256, [ROWS, 8, 8], np.uint8)
LABELS = np.random.default_rng(1).integers(0, 3, ROWS)


def signature_of(*inputs: Any) -> Any:
    return Signature("serving_default", "", {info.name: info for info in inputs}, {}, frozenset())


CLASSIFIER = signature_of(TensorInfo("images", "uint8", (-1, 8, 8)))
TABLE = signature_of(TensorInfo("features", "float32", (-1, 2)))


def encoded(image: Any) -> Any:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def feature(value: Any) -> Any:
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if isinstance(value, float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=np.ravel(value)))


def write_records(path: Path, rows: Any, options: Any = None) -> None:
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for row in rows:
            features = {name: feature(value) for name, value in row.items()}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


def write_idx(folder: Path) -> Any:
    write_split(folder, IMAGES, LABELS.astype(np.uint8))
    return folder / "fashion-mnist"


def write_gzipped_idx(folder: Path) -> Any:
    for file in write_idx(folder).iterdir():
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    return folder / "fashion-mnist"


def write_csv(folder: Path) -> Any:
    header = ",".join(["label", *(f"pixel{index}" for index in range(64))])
    rows = [",".join(map(str, [label, *image.ravel()])) for label, image in zip(LABELS, IMAGES, strict=True)]
    (folder / "images.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder / "images.csv"


def write_named_csv(folder: Path) -> Any:
    path = write_csv(folder)
    header, *rows = path.read_text().splitlines()
    rows = [f"{NAMES[int(row.split(',')[0])]},{row.partition(',')[2]}" for row in rows]
    path.write_text("\ufeff" + "\r\n".join([header, *rows]) + "\r\n")
    return path


def write_npz(folder: Path) -> Any:
    np.savez(folder / "data.npz", images=IMAGES, labels=LABELS)
    return folder / "data.npz"


def write_keras_npz(folder: Path) -> Any:
    np.savez_compressed(
        folder / "k.npz", x_train=IMAGES[:2], y_train=LABELS[:2], x_test=IMAGES, y_test=LABELS[:, None]
    )
    return folder / "k.npz"


def write_tfrecord(folder: Path) -> Any:
    rows = [{"images": image, "label": label} for image, label in zip(IMAGES, LABELS, strict=True)]
    write_records(folder / "data.tfrecord", rows)
    return folder / "data.tfrecord"


def write_tfrecord_of_png(folder: Path) -> Any:
    folder = folder / "shards"
    folder.mkdir()
    rows = [
        {"image/encoded": encoded(image), "image/class/label": label}
        for image, label in zip(IMAGES, LABELS, strict=True)
    ]
    write_records(folder / "a.tfrecord-00000-of-00002", rows[:9])
    write_records(folder / "a.tfrecord-00001-of-00002", rows[9:])
    return folder


def write_gzipped_tfrecord(folder: Path) -> Any:
    rows = [{"x": image, "label": NAMES[label].encode()} for image, label in zip(IMAGES, LABELS, strict=True)]
    write_records(folder / "data.tfrecord.gz", rows, "GZIP")
    return folder / "data.tfrecord.gz"


def write_parquet(folder: Path) -> Any:
    table = pyarrow.table(
        {"image": [{"bytes": encoded(image), "path": ""} for image in IMAGES], "label": LABELS}
    )
    pyarrow.parquet.write_table(table, folder / "data.parquet", row_group_size=10)
    return folder / "data.parquet"


def write_parquet_of_lists(folder: Path) -> Any:
    table = pyarrow.table(
        {"pixels": [image.ravel().tolist() for image in IMAGES], "label": [NAMES[i] for i in LABELS]}
    )
    pyarrow.parquet.write_table(table, folder / "data.parquet")
    return folder / "data.parquet"


WRITERS = (
    write_idx, write_gzipped_idx, write_csv, write_named_csv, write_npz, write_keras_npz, write_tfrecord,
    write_tfrecord_of_png, write_gzipped_tfrecord, write_parquet, write_parquet_of_lists,
)  # fmt: skip


def examples_of(path: Path, rows: Any, signature: Any = CLASSIFIER, names: Any = NAMES, **kwargs: Any) -> Any:
    reader = open_reader(path)
    binding = Binding(signature, reader.name, row_word=reader.row_word, **kwargs)
    inputs, labels, first = [], [], 0
    for table in reader.tables(rows):
        inputs.append(next(iter(binding.inputs(table, first).values())))
        labels.append(binding.labels(table, first, names, len(names)))
        assert len(labels[-1]) <= rows
        first += len(labels[-1])
    assert reader.rows in (None, first)
    return np.concatenate(inputs), np.concatenate(labels), reader


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__.removeprefix("write_"))
def test_every_format_gives_the_same_examples(write: Any, tmp_path: Path) -> None:
    path = write(tmp_path)
    for rows in (1, 7, 1000):
        inputs, labels, reader = examples_of(path, rows)
        np.testing.assert_array_equal(inputs, IMAGES)
        assert inputs.dtype == np.uint8
        np.testing.assert_array_equal(labels, LABELS)
    assert len(reader.sha256()) == 64
    assert reader.sha256() == open_reader(path).sha256()


def test_a_folder_of_images_has_a_class_a_folder(tmp_path: Path) -> None:
    for number, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
        folder = tmp_path / "photos" / NAMES[label].replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:03}.png")
    (tmp_path / "photos" / "Bag" / "notes.txt").write_text("no image")
    inputs, labels, _ = examples_of(tmp_path / "photos", 4)
    order = sorted(range(ROWS), key=lambda row: (NAMES[LABELS[row]].replace("/", "-"), row))
    np.testing.assert_array_equal(inputs, IMAGES[order])
    np.testing.assert_array_equal(labels, LABELS[order])


def test_a_table_takes_the_columns_the_model_was_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("id,b,label,a,region\n7,1.5,2,0.25,north\n8,2.5,0,-1e3,south\n")
    inputs, labels, _ = examples_of(path, 10, TABLE, layout=Layout(columns=("a", "b")))
    np.testing.assert_array_equal(inputs, np.array([[0.25, 1.5], [-1000, 2.5]], np.float32))
    assert labels.tolist() == [2, 0]
    with pytest.raises(DataError, match=r"takes 2 numbers a row, the columns are id, b, a, region"):
        examples_of(path, 10, TABLE)


def test_columns_named_as_the_inputs_are_the_inputs(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("age,label,name\n30,1,Ann\n4,0,Bob\n")
    signature = signature_of(TensorInfo("age", "int64", (-1,)), TensorInfo("name", "string", (-1,)))
    binding = Binding(signature, "data")
    inputs = binding.inputs(next(open_reader(path).tables(5)), 0)
    assert inputs["age"].dtype == np.int64
    assert inputs["name"].tolist() == ["Ann", "Bob"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "has no label: expected a column named label, .* It has: a, b"),
        ("label,a,a\n0,1,2\n", "the header names 'a' twice"),
        ("label,a,b\n0,1,2\n1,2\n", "row 2: expected 3 cells as the header has, got 2"),
        ("label,a,b\n0,1,2\n1,x,2\n", "row 2, column a: expected a number, got 'x'"),
        ("label,a,b\n0,1,2\n1,1,\n", "row 2, column b: expected a number, got ''"),
        ("label,a,b\n0,1,nan\n", "row 1, column b: expected a float32 number, got nan"),
        (
            "label,a,b\n0,1,2\n3,1,2\n",
            "row 2, column label: the label '3' is out of range: expected one of T-shirt",
        ),
        (
            "label,a,b\nBag,1,2\nTrouser,1,2\nBagg,1,2\n",
            "row 3, column label: the label 'Bagg' is out of range",
        ),
        ('label,a,b\n0,"1,2\n', "row 1: it is no CSV: unexpected end of data"),
    ],
)
def test_a_wrong_csv_is_told_with_row_and_column(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        examples_of(path, 1, TABLE)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("300", "expected a uint8 number, got 300"),
        ("-1", "expected a uint8 number"),
        ("1.5", "expected a uint8 number, got 1.5"),
    ],
)
def test_pixels_are_whole_numbers_of_a_byte(tmp_path: Path, value: Any, said: str) -> None:
    path = write_csv(tmp_path)
    lines = path.read_text().splitlines()
    lines[5] = lines[5].rpartition(",")[0] + f",{value}"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=f"row 5, column pixel63: {said}"):
        examples_of(path, 2)


def test_a_record_that_is_cut_short_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    path = tmp_path / "it's.tfrecord"
    write_records(path, [{"label": number, "a": 1.0, "b": 2.0} for number in (0, 1, 2)])
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="record 3: the file ends within it") as said:
        examples_of(path, 1, TABLE)
    _, command, _ = str(said.value).split("`")
    subprocess.run(shlex.split(command), check=True)
    assert len(list(TfrecordReader([path]).tables(1))) == 2


@pytest.mark.parametrize(
    ("last", "is_told"), [('"1","2', True), ('"1","2"', True), ('"1","2"\n"0","1","2"\n', False)]
)
def test_a_last_row_that_may_be_cut_short_is_told(tmp_path: Path, last: str, is_told: bool) -> None:
    path = tmp_path / "data.csv"
    path.write_text(f'"label","a","b"\n"0","1","2"\n{last}')
    with pytest.raises(DataError, match=r"row [12]: ") as said:
        examples_of(path, 9, TABLE)
    assert ("When its writer was stopped within this last row" in str(said.value)) == is_told


def damage(data: bytes, at: int, change: int = 0xFF) -> bytes:
    return data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: data[:-3], "record 23: the file ends within it"),
        (lambda data: data[: len(data) // 2], "the file ends within it"),
        (lambda data: damage(data, 40), "record 1: its bytes are damaged"),
        (lambda data: damage(data, 3), "record 1: it does not begin as a TFRecord does"),
        (lambda data: b"PK" + data, "does not begin as a TFRecord does"),
        (lambda data: b"", "is empty"),
    ],
)
def test_a_damaged_tfrecord_is_told_with_the_record(tmp_path: Path, spoil: Any, said: str) -> None:
    path = write_tfrecord(tmp_path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataError, match=said):
        examples_of(path, 5)


def test_records_that_differ_are_told(tmp_path: Path) -> None:
    good = {"features": [1, 2], "label": 0}
    path = tmp_path / "data.tfrecord"
    for bad, said in (
        ({"features": [1, 2]}, "record 2: it has the features features, those before features, label"),
        ({"features": [1, 2, 3], "label": 0}, "record 2, feature features: expected 2 values, got 3"),
        ({"features": 1.0, "label": 0}, "record 2, feature features: expected int64_list"),
    ):
        write_records(path, [good, bad])
        with pytest.raises(DataError, match=said):
            examples_of(path, 5, TABLE)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"\xff\xff\xff no example")
    with pytest.raises(DataError, match=r"record 1: it is no tf\.Example"):
        examples_of(path, 5, TABLE)


@pytest.mark.parametrize(
    "header", ["{'shape': (", "{'descr': '<f8', 'fortran_order': False, 'shape': (2, }", "1 +", "'", "\0"]
)
def test_a_damaged_header_in_an_npz_is_told(tmp_path: Path, header: str) -> None:
    text = header.ljust(117).encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(DataError, match="cannot be read as a NumPy file"):
        open_reader(tmp_path / "a.npz")


def test_damaged_numpy_and_parquet_files_are_told(tmp_path: Path) -> None:
    path = write_npz(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    with pytest.raises(DataError, match=r"cannot be read as an \.npz"):
        examples_of(path, 5)
    path.write_bytes(damage(whole, 300))
    with pytest.raises(DataError, match="Bad CRC-32"):
        examples_of(path, 5)
    np.savez(path, images=IMAGES, labels=LABELS[:-1])
    with pytest.raises(DataError, match="images has 23, labels has 22"):
        examples_of(path, 5)
    np.savez(path, images=np.array([{}, {}], object))
    with pytest.raises(DataError, match="pickled Python objects"):
        examples_of(path, 5)
    path = write_parquet(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        examples_of(path, 5)
    pyarrow.parquet.write_table(pyarrow.table({"a": [1.0, None], "b": [1.0, 2.0], "label": [0, 1]}), path)
    with pytest.raises(DataError, match="row 2, column a: the cell is empty"):
        examples_of(path, 5, TABLE)


def test_a_damaged_image_is_told_with_its_file(tmp_path: Path) -> None:
    folder = tmp_path / "photos" / "Bag"
    folder.mkdir(parents=True)
    (folder / "cut.png").write_bytes(encoded(IMAGES[0])[:60])
    with pytest.raises(DataError, match=r"photos/Bag/cut\.png cannot be read as PNG or JPEG"):
        examples_of(tmp_path / "photos", 5)
    with pytest.raises(DataError, match="expected one folder a class"):
        open_reader(folder)


def test_what_is_no_source_is_told_with_what_would_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist\. Expected an IDX file"):
        open_reader(tmp_path / "nowhere")
    (tmp_path / "data.xlsx").write_text("x")
    with pytest.raises(DataError, match="of no format known by its name"):
        open_reader(tmp_path / "data.xlsx")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from atelier_client.errors import DataError\nfrom atelier_client.data.open import open_reader\n"
        f"try:\n    open_reader(__import__('pathlib').Path({str(write_parquet(tmp_path))!r}))\n"
        "except DataError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert "pip install 'atelier-client[parquet]'" in done.stdout


def test_reading_stays_small(tmp_path: Path) -> None:
    """200 MB of images are read with less than 60 MB more than the first of them needed."""
    rows = 250_000
    header = b"\0\0\x08\x03" + np.array([rows, 28, 28], ">u4").tobytes()
    folder = tmp_path / "big"
    folder.mkdir()
    with open(folder / "t10k-images-idx3-ubyte", "wb") as handle:
        handle.write(header)
        handle.truncate(16 + rows * 784)
    with open(folder / "t10k-labels-idx1-ubyte", "wb") as handle:
        handle.write(b"\0\0\x08\x01" + np.array([rows], ">u4").tobytes())
        handle.truncate(8 + rows)
    script = (
        "import resource, pathlib\nfrom atelier_client.data.open import open_reader\n"
        f"tables = open_reader(pathlib.Path({str(folder)!r})).tables(512)\nnext(tables)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\ncount = sum(len(t['label']) for t in tables)\n"
        "print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    count, more = map(int, done.stdout.split())
    assert count == rows - 512
    assert more < 60_000
