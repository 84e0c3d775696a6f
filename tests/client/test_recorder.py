"""The client's recorder: what is kept, what it leaves out, what it does when it cannot keep up."""

from __future__ import annotations

import asyncio
import logging
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from atelier_client import Router
from atelier_client.errors import InvalidRequest, ModelNotFound, SettingsError
from atelier_client.request_log import Recorder, Remarks, read
from atelier_client.request_log.log_writer import LogWriter
from atelier_client.testing import InMemoryServer
from tensorflow_serving.apis import prediction_log_pb2

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def server() -> InMemoryServer:
    made = InMemoryServer()
    for version in (1, 2):
        made.serve(
            "toy",
            lambda arrays: {"y": arrays["x"] * 2},
            inputs={"x": ("float32", (-1,))},
            outputs={"y": ("float32", (-1,))},
            version=version,
            label="stable" if version == 1 else None,
        )
    return made


def test_requests_are_kept_with_all_that_the_server_would_know(
    tmp_path: Path, server: InMemoryServer
) -> None:
    with Recorder(tmp_path, 1.0) as recorder:
        with server.client("toy", recorder=recorder, traceparent=TRACEPARENT) as client:
            client.predict([1.0, 2.0], label="stable")
            client.predict([3.0])
            client.metadata()
            client.status()
            with pytest.raises((InvalidRequest, ModelNotFound)):
                client.predict([1.0], version=9)
        assert recorder.flush(20)
        assert (recorder.written, recorder.dropped, recorder.failed) == (2, 0, 0)
    labelled, newest = read(tmp_path, "toy")
    assert (labelled.version, labelled.label, labelled.trace_id) == (1, "stable", TRACE)
    assert (newest.version, newest.label) == (2, None)
    for request in (labelled, newest):
        assert (request.source, request.transport, request.signature) == ("client", "grpc", "serving_default")
        assert 0 < request.seconds < 10
        np.testing.assert_array_equal(request.outputs["y"], 2 * request.inputs["x"])


def test_a_file_is_read_by_the_official_messages(tmp_path: Path, server: InMemoryServer) -> None:
    with Recorder(tmp_path, 1.0) as recorder, server.client("toy", recorder=recorder) as client:
        client.predict([1.0, 2.0])
    (file,) = tmp_path.iterdir()
    (record,) = tf.data.TFRecordDataset(str(file))
    log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
    assert log.log_metadata.model_spec.version.value == 2
    assert log.log_metadata.sampling_config.sampling_rate == 1
    np.testing.assert_array_equal(
        tf.make_ndarray(log.predict_log.request.inputs["x"]), np.array([1, 2], "f4")
    )


def test_the_asynchronous_client_and_the_router_keep_theirs(tmp_path: Path, server: InMemoryServer) -> None:
    async def ask(recorder: Recorder) -> None:
        async with server.async_client("toy", recorder=recorder) as client:
            await asyncio.gather(*(client.predict([float(n)]) for n in range(5)))

    with Recorder(tmp_path, 1.0) as recorder:
        asyncio.run(ask(recorder))
        with server.client("toy", recorder=recorder) as client, Router(client, {"stable": 1}) as router:
            router.predict([7.0])
    requests = list(read(tmp_path))
    assert sorted(request.inputs["x"].item() for request in requests) == [0, 1, 2, 3, 4, 7]
    assert [request.label for request in requests].count("stable") == 1


def test_each_request_of_a_call_is_kept(tmp_path: Path, server: InMemoryServer) -> None:
    with Recorder(tmp_path, 1.0) as recorder, server.client("toy", recorder=recorder) as client:
        client.predict(np.arange(10, dtype=np.float32), rows_per_request=3)
    sizes = sorted(request.examples for request in read(tmp_path))
    assert sizes == [1, 3, 3, 3]


def test_no_more_than_the_rate_is_kept(tmp_path: Path, server: InMemoryServer) -> None:
    with Recorder(tmp_path, 0.0) as recorder, server.client("toy", recorder=recorder) as client:
        client.predict([1.0])
    assert recorder.written == recorder.dropped == 0
    assert list(tmp_path.iterdir()) == []


def test_what_is_redacted_is_not_in_the_file(tmp_path: Path) -> None:
    server = InMemoryServer()
    server.serve(
        "toy",
        lambda arrays: {"y": arrays["number"], "secret": arrays["name"]},
        inputs={"number": ("float32", (-1,)), "name": ("string", (-1,)), "rows": ("string", (-1,))},
        outputs={"y": ("float32", (-1,)), "secret": ("string", (-1,))},
    )
    example = tf.train.Example()
    example.features.feature["name"].bytes_list.value.append(b"Adalbert")
    inputs: dict[str, Any] = {"number": [1.0], "name": ["Adalbert"], "rows": [example.SerializeToString()]}
    recorder = Recorder(tmp_path, 1.0, redact=["name", "secret"])
    with recorder, server.client("toy", recorder=recorder) as client:
        client.predict(inputs)
    (request,) = read(tmp_path)
    assert set(request.inputs) == {"number"}
    assert set(request.outputs) == {"y"}
    assert set(request.redacted) == {"name", "rows", "secret"}
    (file,) = tmp_path.iterdir()
    assert b"Adalbert" not in file.read_bytes()


def test_a_recorder_that_cannot_keep_up_drops_and_counts_and_fails_nobody(
    tmp_path: Path, server: InMemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atelier_client.request_log.recorder.QUEUE_RECORDS", 100)
    recorder = Recorder(tmp_path, 1.0)
    stuck = threading.Event()
    written = recorder._writer.write

    def slow(model: str, record: bytes) -> bool:
        stuck.wait(60)
        return written(model, record)

    recorder._writer.write = slow  # type: ignore[method-assign]
    asked = 150
    with server.client("toy", recorder=recorder) as client:
        for _ in range(asked):
            client.predict([1.0])
    assert recorder.dropped == 50
    assert not recorder.flush(0)
    stuck.set()
    recorder.close(60)
    assert recorder.written == 100
    with server.client("toy", recorder=recorder) as client:
        client.predict([1.0])
    assert recorder.dropped == 51


def test_a_full_disk_fails_no_request_and_leaves_whole_files(
    tmp_path: Path, server: InMemoryServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "atelier_client")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Recorder(tmp_path, 1.0) as recorder, server.client("toy", recorder=recorder) as client:
        many = np.zeros(1_000, np.float32)
        client.predict(many)
        assert recorder.flush(20)
        size = sum(file.stat().st_size for file in tmp_path.iterdir())
        try:
            # As on a full disk, a part of the next record can still be written.
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, limits[1]))
            client.predict(many)
            assert recorder.flush(20)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        client.predict(many)
    remarks = Remarks()
    assert recorder.failed + recorder.written == 3
    assert recorder.failed == 1
    assert len(list(read(tmp_path, remarks=remarks))) == 2
    assert remarks.lines() == []
    assert caplog.text.count("Requests cannot be recorded") == 1


def test_all_files_together_never_have_more_than_they_may(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, 100_000, 86400)
    for number in range(600):
        assert writer.write(f"model{number % 3}", bytes([number % 251]) * 1_000)
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 100_000
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) > 50_000
    assert not writer.write("m", b"x" * 100_000)
    writer.close()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"rate": 1.5}, "from 0 to 1"),
        ({"rate": "1"}, "from 0 to 1"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"max_age_seconds": float("inf")}, "max_age_seconds"),
        ({"redact": "name"}, r"such as \['name'\]"),
    ],
)
def test_settings_that_cannot_work_are_said(tmp_path: Path, settings: Any, text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        Recorder(tmp_path, **settings)


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="expected a folder"):
        Recorder(tmp_path / "file" / "log")


@pytest.mark.parametrize("given", ["", "00-0-0-01", TRACEPARENT.upper(), "ff" + TRACEPARENT[2:], 7])
def test_a_traceparent_that_is_none_is_said(server: InMemoryServer, given: Any) -> None:
    with pytest.raises(SettingsError, match="W3C Trace Context"):
        server.client("toy", traceparent=given)
    client = server.client("toy", traceparent=lambda: given)
    with client, pytest.raises(SettingsError, match="W3C Trace Context"):
        client.predict([1.0])


def test_a_function_gives_each_request_its_trace(tmp_path: Path, server: InMemoryServer) -> None:
    traces = [TRACEPARENT, None]
    recorder = Recorder(tmp_path, 1.0)
    settings = {"recorder": recorder, "traceparent": lambda: traces.pop(0)}
    with recorder, server.client("toy", **settings) as client:
        client.predict([1.0])
        client.predict([2.0])
    assert [request.trace_id for request in read(tmp_path)] == [TRACE, None]


def test_the_trace_of_an_active_span_goes_along_and_none_without_one(
    tmp_path: Path, server: InMemoryServer
) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    tracer = TracerProvider().get_tracer("test")
    with Recorder(tmp_path, 1.0) as recorder, server.client("toy", recorder=recorder) as client:
        client.predict([0.0])
        with tracer.start_as_current_span("mine") as span:
            # Some of these are sent by other threads.
            client.predict(np.arange(8, dtype=np.float32), rows_per_request=1)
    expected = f"{span.get_span_context().trace_id:032x}"
    traces = [request.trace_id for request in read(tmp_path)]
    assert traces.count(None) == 1
    assert traces.count(expected) == 8


# A program with a server of its own, and a recorder in the folder that it is given.
PROGRAM = """
import os, sys
from atelier_client.request_log import Recorder
from atelier_client.testing import InMemoryServer

server = InMemoryServer()
numbers = {"x": ("float32", (-1,))}
server.serve("toy", lambda arrays: arrays, inputs=numbers, outputs=numbers)
recorder = Recorder(sys.argv[1], 1.0)
client = server.client("toy", recorder=recorder)
"""


@pytest.mark.parametrize("ending", ["", "raise SystemExit", "raise ValueError('its own mistake')"])
def test_a_program_that_ends_without_closing_anything_has_kept_all(tmp_path: Path, ending: str) -> None:
    program = f"{PROGRAM}\nfor n in range(20): client.predict([float(n)])\n{ending}"
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == ("ValueError" in ending), done.stderr
    assert [request.inputs["x"].item() for request in read(tmp_path)] == list(range(20))


def test_a_client_that_is_closed_has_kept_all(tmp_path: Path, server: InMemoryServer) -> None:
    with Recorder(tmp_path, 1.0) as recorder:
        with server.client("toy", recorder=recorder) as client:
            client.predict([1.0])
        assert recorder.written == 1

        async def ask() -> None:
            async with server.async_client("toy", recorder=recorder) as client:
                await client.predict([2.0])

        asyncio.run(ask())
        # The recorder goes on: others may share it.
        assert recorder.written == 2


def test_after_a_fork_parent_and_child_keep_their_own(tmp_path: Path) -> None:
    program = f"""{PROGRAM}
client.predict([1.0])
child = os.fork()
client.predict([2.0 if child else 3.0])
if child:
    assert os.waitpid(child, 0)[1] == 0
    client.predict([4.0])
else:
    recorder.close()
    os._exit(0 if recorder.written == 1 else 1)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    files = list(tmp_path.iterdir())
    assert len({file.stem.rsplit("-", 1)[1] for file in files}) == 2
    remarks = Remarks()
    kept = sorted(request.inputs["x"].item() for request in read(tmp_path, remarks=remarks))
    assert (kept, remarks.skipped) == ([1, 2, 3, 4], 0)
