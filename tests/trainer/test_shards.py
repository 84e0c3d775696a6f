"""Data larger than memory: CSV shards and TFRecord files give each example once an epoch, in an order of its seed."""

import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from atelier_trainer.data import job_data
from atelier_trainer.data.column_check import Moments
from atelier_trainer.data.dataset import Examples
from atelier_trainer.errors import DataInvalid, JobError
from atelier_trainer.job import Job

ROWS = 300


def job(data: dict[str, Any], folder: Path = Path(), **fit: Any) -> Job:
    return Job.from_document(
        {
            "name": "mine",
            "model": "mine",
            "data": data,
            "network": {"hidden": [4]},
            "fit": {"batch_size": 32, "epochs": 1, **fit},
        },
        folder,
    )


def write_csv_shards(folder: Path) -> None:
    """Three shards; column a counts the rows, b is its half, the label its remainder by 3. The first begins with a byte
    order mark and empty lines."""
    start = "\ufeff\n \t\n"
    for shard in range(3):
        rows = range(shard * 100, shard * 100 + 100)
        lines = "".join(f"{row},{row % 3},{row / 2}\n" for row in rows)
        (folder / f"train-{shard}.csv").write_text(f"{'' if shard else start}a,label,b\n{lines}")
    (folder / "test.csv").write_text("a,label,b\n1000,1,500\n")


def write_records(path: Path, examples: Iterable[dict[str, tf.train.Feature]]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for features in examples:
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def record(row: float, label: int) -> dict[str, tf.train.Feature]:
    return {
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "a": tf.train.Feature(float_list=tf.train.FloatList(value=[row, row / 2])),
        "n": tf.train.Feature(int64_list=tf.train.Int64List(value=[row])),
    }


NAN = tf.train.Feature(float_list=tf.train.FloatList(value=[float("nan"), 1.0]))


@pytest.fixture(params=["csv", "tfrecord"])
def streamed(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """The same 300 examples from either kind of file; the first column is the row's number."""
    if request.param == "csv":
        write_csv_shards(tmp_path)
        data = {"csv": "train-*.csv", "test": "test.csv", "stream": True}
    else:
        for shard in range(3):
            rows = range(shard * 100, shard * 100 + 100)
            write_records(tmp_path / f"train-{shard}.tfrecord", (record(row, row % 3) for row in rows))
        write_records(tmp_path / "test.tfrecord", [record(1000, 1)])
        data = {"tfrecord": "train-*.tfrecord", "test": "test.tfrecord"}
    return job_data.load(job(data, tmp_path), tmp_path / "cache")


def epoch(data: Any, seed: int) -> list[int]:
    batches = list(data.train.batches(32, tf.constant(seed, tf.int64)))
    rows = np.concatenate([batch.numpy() for batch, _ in batches])
    labels = np.concatenate([part.numpy() for _, part in batches])
    np.testing.assert_array_equal(labels, rows[:, 0].astype(int) % 3)
    np.testing.assert_array_equal(rows[:, 1], rows[:, 0] / 2)
    return rows[:, 0].astype(int).tolist()


def test_each_example_comes_once_an_epoch_in_the_order_of_the_seed(streamed: Any) -> None:
    assert not isinstance(streamed.train, Examples)
    first, same, other = epoch(streamed, 1), epoch(streamed, 1), epoch(streamed, 2)
    assert sorted(first) == sorted(other) == list(range(ROWS))
    assert first == same
    assert first != other
    assert first != sorted(first)


def test_what_is_counted_is_what_is_there(streamed: Any) -> None:
    assert len(streamed.train) == ROWS
    assert streamed.train.counts.tolist() == [100, 100, 100]
    rows = np.arange(ROWS)
    np.testing.assert_allclose(streamed.train.mean[:2], [rows.mean(), rows.mean() / 2])
    np.testing.assert_allclose(streamed.train.variance[:2], [rows.var(), rows.var() / 4])
    assert len(streamed.class_names) == 3
    assert streamed.test.inputs[0, :2].tolist() == [1000, 500]


def test_moments_in_chunks_are_those_of_the_whole() -> None:
    values = np.random.default_rng(0).normal(1e3, 2.0, [1000, 3]).astype(np.float32)
    moments = Moments(3)
    for start in range(0, 1000, 70):
        moments.add(values[start : start + 70])
    np.testing.assert_allclose(moments.mean, values.mean(axis=0, dtype=np.float64), rtol=1e-9)
    np.testing.assert_allclose(moments.variance, values.var(axis=0, dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,label,b\n1,0,x\n", r"train-1\.csv, row 1, column b: expected a number, got 'x'"),
        ("a,label\n1,0\n", r"train-1\.csv lacks 'b'"),
        ("a,label,b,c\n1,0,1,1\n", r"train-1\.csv has also 'c'"),
        ("a,label,b\n1,0,1\n1,9,1\n", r"train-1\.csv, row 2, column label: the label '9' is out of range"),
        ("", r"train-1\.csv is empty"),
    ],
)
def test_a_wrong_shard_is_named(tmp_path: Path, content: str, said: str) -> None:
    write_csv_shards(tmp_path)
    (tmp_path / "train-1.csv").write_text(content)
    names = ["x", "y", "z"]
    data = {"csv": "train-*.csv", "test": "test.csv", "stream": True, "class_names": names}
    with pytest.raises(DataInvalid, match=said):
        job_data.load(job(data, tmp_path), tmp_path)


@pytest.mark.parametrize("encoding", ["cp037", "utf-16-le", "utf-7", "iso2022_jp", "hz", "idna"])
def test_an_encoding_whose_bytes_split_elsewhere_is_refused(tmp_path: Path, encoding: str) -> None:
    """Of EBCDIC, whose line ends are other bytes, a stream had no row at all."""
    (tmp_path / "a.csv").write_bytes("a,label\n1,x\n2,y\n".encode(encoding))
    data = {"csv": "a.csv", "test": "a.csv", "stream": True, "encoding": encoding}
    with pytest.raises(DataInvalid, match=f"data.encoding: {encoding} cannot be streamed"):
        job_data.load(job(data, tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("encoding", "separator", "streams"),
    [
        ("utf-8-sig", ",", True),
        ("gbk", ",", True),
        ("shift_jis", ";", True),
        ("latin-1", "|", True),
        ("gbk", "|", False),
    ],
)
def test_characters_of_several_bytes_are_streamed_where_none_is_the_separator(
    tmp_path: Path, encoding: str, separator: str, streams: bool
) -> None:
    """The second byte of a Chinese character may be that of `|`."""
    text = "a,label\n1,\u00b0\n2,y\n3,y\n".replace(",", separator)
    (tmp_path / "a.csv").write_bytes(text.encode(encoding, "replace"))
    data = {"csv": "a.csv", "test": "a.csv", "stream": True, "encoding": encoding, "separator": separator}
    if not streams:
        with pytest.raises(DataInvalid, match="cannot be streamed"):
            job_data.load(job(data, tmp_path), tmp_path)
        return
    found: Any = job_data.load(job(data, tmp_path), tmp_path)
    values = [float(row[0]) for rows, _ in found.train.batches(2, tf.constant(1, tf.int64)) for row in rows]
    assert sorted(values) == [1, 2, 3]


def test_truth_values_are_streamed_as_numbers(tmp_path: Path) -> None:
    """pandas takes a column of them for numbers, TensorFlow's parser of numbers does not: the first epoch failed."""
    (tmp_path / "a.csv").write_text("a,b,label\nTrue,1,x\nFALSE,2,y\ntrue,3,y\n")
    data = {"csv": "a.csv", "test": "a.csv", "stream": True}
    found: Any = job_data.load(job(data, tmp_path), tmp_path)
    rows = np.concatenate([batch for batch, _ in found.train.batches(2, tf.constant(1, tf.int64))])
    assert sorted(map(tuple, rows.tolist())) == [(0, 2), (1, 1), (1, 3)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('a,label,b\n1,5" pipe,1\n', "line 2 has a quote within a cell"),
        (
            'a,label,b\n1,"x\n",1\n',
            "line 2 has a quote within a cell, or a cell that goes on in the next line",
        ),
        ("a,label,b\r1,x,1\r", "line 1 ends with a carriage return alone"),
        ("a,label,b\n1,x\xa0,1\n", "line 2 has a space of Unicode"),
        ("a,label,b\n1,\x1cx,1\n", "line 2 has a space of Unicode"),
    ],
)
def test_lines_that_a_stream_would_read_otherwise_are_refused(
    tmp_path: Path, content: str, said: str
) -> None:
    write_csv_shards(tmp_path)
    (tmp_path / "train-1.csv").write_bytes(content.encode())
    with pytest.raises(DataInvalid, match=rf"train-1\.csv, {said}.*cannot be streamed"):
        job_data.load(job({"csv": "train-*.csv", "test": "test.csv", "stream": True}, tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        ([], "is empty"),
        ([{"a": record(1, 0)["a"]}], "record 1: expected one int64 in the feature 'label'"),
        ([{**record(1, 0), "t": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x"]))}], "feature t"),
        (
            [record(1, 0), {"label": record(1, 0)["label"]}],
            "record 2, feature a: expected 2 of float_list.* got none",
        ),
        ([record(1, 0), {**record(1, 1), "a": NAN}], "record 2, feature a0"),
        ([record(1, 0), record(2, -1)], "record 2: the label -1 is out of range"),
        ([record(1, 0), record(2, 5)], "record 2: the label 5 is out of range"),
    ],
)
def test_a_wrong_record_is_named(
    tmp_path: Path, examples: list[dict[str, tf.train.Feature]], said: str
) -> None:
    write_records(tmp_path / "train.tfrecord", examples)
    write_records(tmp_path / "test.tfrecord", [record(1, 0)])
    data = {"tfrecord": "train.tfrecord", "test": "test.tfrecord", "class_names": ["x", "y"]}
    with pytest.raises(DataInvalid, match=said):
        job_data.load(job(data, tmp_path), tmp_path)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(tf.train.Example(features=tf.train.Features(feature=record(1, 0))).SerializeToString())
        writer.write(b"\xff\xff\xff")
    data = {"tfrecord": "train.tfrecord", "test": "train.tfrecord"}
    with pytest.raises(DataInvalid, match=r"train\.tfrecord, record 2: it is no tf\.Example\.$"):
        job_data.load(job(data, tmp_path), tmp_path)
    write_records(path, [record(1, 0), record(2, 1), record(3, 0)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    with pytest.raises(
        DataInvalid, match=r"after record 2: the file is damaged or cut off\. When .* stopped"
    ) as said:
        job_data.load(job(data, tmp_path), tmp_path)
    _, command, _ = str(said.value).split("`")
    subprocess.run(shlex.split(command), check=True)
    assert len(job_data.load(job(data, tmp_path), tmp_path).test.labels) == 2
    path.write_bytes(whole[:-10] + bytes([whole[-10] ^ 255]) + whole[-9:])
    with pytest.raises(DataInvalid, match=r"after record 2: the file is damaged or cut off\.$"):
        job_data.load(job(data, tmp_path), tmp_path)


@pytest.mark.parametrize("content", [b"no records at all, only text", b"\x08\0\0\0\0\0\0\0"])
def test_a_file_that_is_no_tfrecord_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train.tfrecord").write_bytes(content)
    data = {"tfrecord": "train.tfrecord", "test": "train.tfrecord"}
    with pytest.raises(DataInvalid, match=r"train\.tfrecord"):
        job_data.load(job(data, tmp_path), tmp_path)


def test_streamed_data_cannot_be_split(tmp_path: Path) -> None:
    write_csv_shards(tmp_path)
    data = {"csv": "train-*.csv", "test": "test.csv", "stream": True}
    with pytest.raises(JobError, match=r"name a data\.validation file"):
        job_data.load(job(data, tmp_path, validation_split=0.1), tmp_path)


@pytest.mark.parametrize("kind", ["csv", "tfrecord"])
def test_streams_train_with_the_default_seed(tmp_path: Path, kind: str) -> None:
    if kind == "csv":
        write_csv_shards(tmp_path)
        data = {"csv": "train-*.csv", "test": "test.csv", "stream": True}
    else:
        write_records(tmp_path / "train.tfrecord", (record(row, row % 3) for row in range(100)))
        data = {"tfrecord": "train.tfrecord", "test": "train.tfrecord"}
    settings = job(data, tmp_path)
    loaded = job_data.load(settings, tmp_path / "cache")
    from atelier_trainer.training.fit import fit
    from atelier_trainer.training.run import continued_or_new

    assert settings.fit.seed == 0
    with continued_or_new(tmp_path / "runs", settings, "digest", ()) as run:
        assert fit(settings, loaded, run).epochs == 1
