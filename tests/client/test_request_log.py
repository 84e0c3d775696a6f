"""Reading a request log: records as the official messages write them, torn ones, foreign ones, clocks that jump."""

from __future__ import annotations

import fcntl
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from atelier_client.errors import DataError
from atelier_client.request_log import Remarks, read
from tensorflow_serving.apis import prediction_log_pb2

START = datetime(2026, 11, 30, 16, 0, tzinfo=UTC)


def details(seconds: float, /, **changed: Any) -> bytes:
    """Field 1000 of a record of a request that came so many seconds after START."""
    document = {
        "time": (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z"),
        "model": "toy",
        "version": 1,
        "label": None,
        "trace_id": None,
        "seconds": 0.25,
        "transport": "grpc",
        "source": "server",
    }
    text = json.dumps(document | changed).encode()
    # A field of bytes: its tag, its length, the bytes (https://protobuf.dev/programming-guides/encoding/).
    log = prediction_log_pb2.PredictionLog()
    assert 1000 not in [field.number for field in log.DESCRIPTOR.fields]
    length = bytes([len(text) & 0x7F | 0x80, len(text) >> 7]) if len(text) > 0x7F else bytes([len(text)])
    return bytes([1000 << 3 & 0x7F | 0x80 | 2, 1000 << 3 >> 7]) + length + text


def predict(x: Any, seconds: float = 0.0, /, **changed: Any) -> bytes:
    """A record of a predict request."""
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto(x))
    log.predict_log.response.outputs["y"].CopyFrom(tf.make_tensor_proto(np.asarray(x) * 2))
    log.log_metadata.model_spec.name = "toy"
    log.log_metadata.model_spec.version.value = 1
    log.log_metadata.model_spec.signature_name = "scale"
    log.log_metadata.sampling_config.sampling_rate = 0.5
    return log.SerializeToString() + details(seconds, **changed)


def write(folder: Path, name: str, *records: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path


def named(seconds: float, process: int, model: str = "toy") -> str:
    return f"{model}-{round((START.timestamp() + seconds) * 1000)}-{process}.tfrecord"


def test_a_record_has_everything_that_the_request_had(tmp_path: Path) -> None:
    changed = {"label": "canary", "trace_id": "0af7651916cd43dd8448eb211c80319c", "redacted": ["name"]}
    write(tmp_path, named(0, 7), predict([[1.0, 2.0], [3.0, 4.0]], 1.5, **changed))
    (request,) = read(tmp_path, "toy")
    assert request.time == START + timedelta(seconds=1.5)
    assert (request.model, request.version, request.label, request.signature) == ("toy", 1, "canary", "scale")
    assert (request.trace_id, request.seconds, request.transport) == (changed["trace_id"], 0.25, "grpc")
    assert (request.source, request.sampling_rate, request.redacted) == ("server", 0.5, ("name",))
    np.testing.assert_array_equal(request.inputs["x"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(request.outputs["y"], [[2, 4], [6, 8]])
    assert request.examples == 2


def test_examples_become_columns(tmp_path: Path) -> None:
    log = prediction_log_pb2.PredictionLog()
    given = log.multi_inference_log.request.input.example_list_with_context
    given.context.features.feature["city"].bytes_list.value.append(b"Bern")
    for age in (31, 47):
        given.examples.add().features.feature["age"].int64_list.value.append(age)
    given.examples[1].features.feature["extra"].float_list.value.extend([1.0, 2.0])
    results = log.multi_inference_log.response.results
    results.add().model_spec.signature_name = "classes"
    results.add().model_spec.signature_name = "price"
    for score in (0.25, 0.75):
        row = results[0].classification_result.classifications.add()
        row.classes.add(label="yes", score=score)
        results[1].regression_result.regressions.add(value=score)
    write(tmp_path, named(0, 7), log.SerializeToString() + details(0))
    (request,) = read(tmp_path)
    assert {name: array.tolist() for name, array in request.inputs.items()} == {
        "age": [31, 47],
        "city": [b"Bern", b"Bern"],
        "extra": [None, [1.0, 2.0]],
    }
    assert {name: array.tolist() for name, array in request.outputs.items()} == {
        "classes/classes": [[b"yes"], [b"yes"]],
        "classes/scores": [[0.25], [0.75]],
        "price/outputs": [0.25, 0.75],
    }
    assert request.examples == 2


def test_the_files_of_several_processes_are_one_log_in_the_order_of_time(tmp_path: Path) -> None:
    write(tmp_path, named(0, 9), *(predict([float(n)], n) for n in range(0, 6, 2)))
    write(tmp_path, named(1, 8), *(predict([float(n)], n) for n in range(1, 7, 2)))
    write(tmp_path, named(6, 9), *(predict([float(n)], n) for n in range(6, 8)))
    write(tmp_path, named(3, 9, "other"), predict([9.0], 3, model="other"))
    assert [request.inputs["x"].item() for request in read(tmp_path, "toy")] == [*range(8)]
    assert [request.model for request in read(tmp_path)].count("other") == 1


def test_torn_and_foreign_records_are_named_once_and_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    foreign = [
        b"\xff\xfe",
        tf.train.Example().SerializeToString(),
        predict([1.0])[:-10],
        predict([5.0], time="now"),
    ]
    old = prediction_log_pb2.PredictionLog()
    old.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    wrong = prediction_log_pb2.PredictionLog()
    wrong.predict_log.request.inputs["x"].dtype = 77
    foreign += [old.SerializeToString(), wrong.SerializeToString() + details(0)]
    write(tmp_path, named(0, 1), predict([0.0], 0), *foreign, predict([1.0], 1))
    torn = write(tmp_path, named(2, 1), predict([2.0], 2), predict([7.0], 3))
    torn.write_bytes(torn.read_bytes()[:-20])
    damaged = write(tmp_path, named(4, 1), predict([4.0], 4), predict([7.0], 5), predict([7.0], 6))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    (tmp_path / named(7, 1)).write_text("no records at all")
    (tmp_path / "notes.txt").write_text("not of the log")
    write(tmp_path, named(8, 1), predict([8.0], 8))
    remarks = Remarks()
    seen = [request.inputs["x"].item() for request in read(tmp_path, remarks=remarks)]
    assert seen == [0, 1, 2, 4, 7, 8]
    assert remarks.skipped == len(foreign) + 3
    lines = remarks.lines()
    assert len(lines) == 4
    assert "record 2: left out: it is no PredictionLog" in lines[0]
    assert "5 more of its records" in lines[0]
    assert f"{torn}, record 2: the file ends within it; what follows" in lines[1]
    assert f"{damaged}, record 2: its bytes are damaged (checksum); it is left out." in lines[2]
    assert "record 1: it does not begin as a TFRecord does" in lines[3]


def test_a_clock_that_was_set_back_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    write(tmp_path, named(0, 1), *(predict([float(n)], at) for n, at in enumerate([0, 10, -3600, -3590, 20])))
    remarks = Remarks()
    requests = list(read(tmp_path, remarks=remarks))
    assert [request.inputs["x"].item() for request in requests] == [0, 1, 2, 3, 4]
    assert requests[2].time == START - timedelta(hours=1)
    assert remarks.skipped == 0
    assert remarks.set_back == 1
    (line,) = remarks.lines()
    assert "record 3: the clock was set back from 2026-11-30 16:00:10 to 2026-11-30 15:00:00 UTC" in line


def test_a_record_that_is_being_written_is_not_torn(tmp_path: Path) -> None:
    path = write(tmp_path, named(0, 1), predict([0.0]), predict([1.0]))
    path.write_bytes(path.read_bytes()[:-5])
    remarks = Remarks()
    with path.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_SH)
        assert len(list(read(tmp_path, remarks=remarks))) == 1
    assert remarks.skipped == 0
    assert len(list(read(tmp_path, remarks=remarks))) == 1
    assert remarks.skipped == 1


def test_without_remarks_what_is_left_out_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, named(0, 1), b"\xff", b"\xff", predict([1.0]))
    assert len(list(read(tmp_path))) == 1
    assert [record.name for record in caplog.records] == ["atelier_client"]
    assert "record 1: left out" in caplog.text


def test_a_folder_that_is_not_there_is_one_sentence_and_an_empty_one_has_no_requests(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"none: expected the folder of a request log .* No such file or directory\."
    ):
        read(tmp_path / "none")
    assert list(read(tmp_path)) == []


def test_a_file_that_is_deleted_while_the_log_is_read_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, named(0, 1), predict([0.0], 0))
    later = write(tmp_path, named(60, 1), predict([1.0], 60))
    remarks = Remarks()
    requests = read(tmp_path, remarks=remarks)
    next(requests)
    later.unlink()
    assert list(requests) == []
    assert remarks.skipped == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"time": "0001-01-01T00:00:00Z"},
        {"time": "1969-12-31T23:59:59Z"},
        {"time": "9999-12-31T23:59:59Z"},
        {"time": "9999-12-31T23:59:59-12:00"},
        {"seconds": 1e300},
        {"seconds": -5},
        {"version": 10**30},
        {"version": -1},
    ],
)
def test_a_record_with_an_odd_number_is_left_out_and_stops_nothing(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    write(tmp_path, named(0, 1), predict([0.0], 0), predict([7.0], 1, **wrong), predict([2.0], 2))
    remarks = Remarks()
    assert [request.inputs["x"].item() for request in read(tmp_path, remarks=remarks)] == [0, 2]
    assert remarks.skipped == 1
    assert remarks.set_back == 0
    assert "record 2: left out: its field 1000 is not that of a request log" in remarks.lines()[0]


def test_the_records_say_which_model_was_asked_whatever_the_file_is_called(tmp_path: Path) -> None:
    write(tmp_path, named(0, 1), predict([0.0], 0))
    write(tmp_path, named(1, 1, "renamed"), predict([1.0], 1), predict([2.0], 2))
    write(tmp_path, named(3, 1, "other"), predict([7.0], 3, model="other"))
    (tmp_path / named(4, 1, "broken")).write_text("no records at all")
    remarks = Remarks()
    assert [request.inputs["x"].item() for request in read(tmp_path, "toy", remarks=remarks)] == [0, 1, 2]
    assert remarks.skipped == 0
