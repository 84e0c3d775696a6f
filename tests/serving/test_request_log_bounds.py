"""The request log keeps within its bounds: of a queue, of a warm-up file, of all bytes, of age."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from atelier_serving.flags import log_settings, parse
from atelier_serving.models.warmup_file import MAX_RECORDS
from atelier_serving.monitoring.exchange import Arrays, Facts, Messages
from atelier_serving.monitoring.log_settings import LogSettings
from atelier_serving.monitoring.request_log import QUEUE_BYTES, QUEUE_RECORDS, RequestLog
from atelier_serving.monitoring.request_log_files import FullError, RequestLogFiles
from atelier_serving.monitoring.request_metrics import RequestMetrics
from atelier_serving.status import ServingError
from tensorflow_serving.apis import predict_pb2

DAY = 86400.0
FACTS = Facts(0.0, 0.1, "m", 1, "", None, "grpc")
EMPTY = Messages("Predict", predict_pb2.PredictRequest(), predict_pb2.PredictResponse())


def count(metrics: RequestMetrics, status: str) -> float:
    """How many requests of model m the metric says this of."""
    page = metrics.registry.text([metrics.registry.snapshot()])
    name = f':tensorflow:serving:request_log_count{{model_name="m",status="{status}"}}'
    return next((float(line.split()[-1]) for line in page.splitlines() if line.startswith(name)), 0.0)


def test_what_does_not_fit_into_the_queue_is_dropped_and_counted(tmp_path: Path) -> None:
    metrics = RequestMetrics(None)
    log = RequestLog(LogSettings(tmp_path, 1.0, 10**9, DAY), metrics)
    large = Arrays("m", 1, "s", {"x": np.zeros(QUEUE_BYTES // 2, np.uint8)}, {"y": np.zeros(8, np.uint8)})
    held = log.hold("m", large)
    assert held == large.size()
    assert log.hold("m", large) is None
    assert count(metrics, "DROPPED") == 1
    log.release(held)
    sizes = [log.hold("m", EMPTY) for _ in range(QUEUE_RECORDS)]
    assert None not in sizes
    assert log.hold("m", EMPTY) is None
    assert count(metrics, "DROPPED") == 2
    for size in sizes:
        assert size is not None
        log.add(EMPTY, size, FACTS)
    log.close(60)
    assert count(metrics, "OK") == QUEUE_RECORDS
    # After the end nothing is taken any more.
    assert log.hold("m", EMPTY) is None


def test_a_file_has_what_a_warm_up_may_have_and_a_safe_name(tmp_path: Path) -> None:
    files = RequestLogFiles(tmp_path, 10**9, DAY, 1)
    for _ in range(2 * MAX_RECORDS + 1):
        files.write("../a b", b"record")
    files.close()
    names = [file.name for file in sorted(tmp_path.iterdir())]
    assert all(name.startswith("_._a_b-") for name in names), names
    counts = sorted(sum(1 for _ in tf.data.TFRecordDataset(str(file))) for file in tmp_path.iterdir())
    assert counts == [1, MAX_RECORDS, MAX_RECORDS]


@pytest.mark.parametrize(("models", "writers"), [(1, 1), (3, 2), (40, 2)])
def test_all_files_together_never_have_more_than_they_may(tmp_path: Path, models: int, writers: int) -> None:
    most = 100_000
    several = [RequestLogFiles(tmp_path, most, DAY, writers) for _ in range(writers)]
    dropped = 0
    for number in range(600):
        try:
            several[number % writers].write(f"model{number % models}", bytes([number % 251]) * 1_000)
        except FullError:
            dropped += 1
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= most
    kept = sum(file.stat().st_size for file in tmp_path.iterdir())
    # The newest are kept, not all thrown away; only more open files than the log has room for make records go.
    assert kept > most // 2
    assert dropped == 0 or models == 40
    with pytest.raises(FullError):
        several[0].write("m", b"x" * most)
    for files in several:
        files.close()


def test_the_oldest_go_first_and_other_files_stay(tmp_path: Path) -> None:
    other = tmp_path / "notes.tfrecord"
    other.write_bytes(b"x" * 5_000)
    files = RequestLogFiles(tmp_path, 64_000, DAY, 1)
    for number in range(300):
        files.write("m", b"%03d" % number + b"x" * 997)
    files.close()
    assert other.exists()
    numbers = sorted(
        int(record.numpy()[:3])
        for file in tmp_path.glob("m-*.tfrecord")
        for record in tf.data.TFRecordDataset(str(file))
    )
    assert numbers == list(range(numbers[0], 300))


def test_records_that_are_too_old_are_deleted_but_no_file_that_is_being_written(tmp_path: Path) -> None:
    files, others = (RequestLogFiles(tmp_path, 10**9, 100.0, 2) for _ in range(2))
    old = tmp_path / "m-1000-1.tfrecord"
    old.write_bytes(b"")
    os.utime(old, (time.time() - 101, time.time() - 101))
    young = tmp_path / "m-2000-1.tfrecord"
    young.write_bytes(b"")
    os.utime(young, (time.time() - 90, time.time() - 90))
    others.write("m", b"record")
    (written,) = set(tmp_path.glob("m-*.tfrecord")) - {old, young}
    os.utime(written, (time.time() - 500, time.time() - 500))
    files.tidy()
    assert not old.exists()
    assert young.exists()
    assert written.exists()
    others.close()
    files.tidy()
    assert not written.exists()


def test_a_folder_that_is_deleted_meanwhile_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    files = RequestLogFiles(folder, 10**9, DAY, 1)
    files.write("m", b"one")
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    files.write("m", b"two")
    files.close()
    (file,) = folder.iterdir()
    assert [record.numpy() for record in tf.data.TFRecordDataset(str(file))] == [b"two"]


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000000", 10**6), ("500MB", 500 * 10**6), ("1.5gib", 3 * 2**29), ("2 KiB", 2048), ("7b", 7)],
)
def test_a_size_is_a_number_with_a_unit(text: str, size: int) -> None:
    assert log_settings(parse([f"--request_log_max_bytes={text}"])).max_bytes == size


def test_a_folder_that_cannot_be_made_is_said_with_its_flag(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ServingError, match=r"--request_log_dir=.*file: the folder cannot be made: File exists"
    ):
        RequestLogFiles(tmp_path / "file", 10**9, DAY, 1)
