"""Clients that stop in the middle hold up nobody, and hold no more memory than there is."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from atelier_serving.grpc.slow_clients import MAX_UNREAD_MESSAGES
from tensorflow_serving.apis import predict_pb2, regression_pb2
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tests.support.memory_limit import memory_limit
from tests.support.peer import ONCE, Peer
from tests.support.server import RunningServer, running_server
from tests.support.stalled_link import stalled_link
from tests.support.toy_models import save_regressor

PREDICT = "/tensorflow.serving.PredictionService/Predict"
REGRESS = "/tensorflow.serving.PredictionService/Regress"
MB = 2**20
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


# What a client sees whose call or connection was ended to free memory: grpcio ends calls, the native front connections.
ENDED = {"grpcio": grpc.StatusCode.RESOURCE_EXHAUSTED, "native": grpc.StatusCode.UNAVAILABLE}
both_fronts = pytest.mark.parametrize("front", ["native", pytest.param("grpcio", marks=pytest.mark.soak)])


@contextlib.contextmanager
def limited_server(models: Path, size: int, front: str) -> Iterator[RunningServer]:
    """A server that may hold `size` bytes; the test itself may hold more."""
    flags = ("--enable_serialization_as_tensor_content", f"--grpc_front={front}")
    with memory_limit(size) as leave, running_server(models, *ONCE, *flags, model="toy") as server:
        leave()
        yield server


def message(values: np.ndarray, signature: str = "", name: str = "x") -> bytes:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "toy", signature
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return request.SerializeToString()


def highest(server: RunningServer, seconds: float, until: Callable[[], bool]) -> int:
    """The most the server held until something was so, or the time was over."""
    most, end = 0, time.monotonic() + seconds
    while time.monotonic() < end and not until():
        most = max(most, server.resident())
        time.sleep(0.02)
    return most


@both_fronts
def test_messages_that_do_not_come_hold_up_no_other_request(models: Path, front: str) -> None:
    """More of them than there are threads, and more than grpcio lets there be at all: there each occupies a thread."""
    with running_server(models, *ONCE, f"--grpc_front={front}", model="toy") as server:
        _ask_and_send_nothing(server, models, front)


def _ask_and_send_nothing(server: RunningServer, models: Path, front: str) -> None:
    stop = threading.Event()
    opened: list[grpc.Channel] = []
    calls: list[Any] = []

    def nothing() -> Iterator[bytes]:
        stop.wait()
        yield from ()

    try:
        for count in (MAX_UNREAD_MESSAGES // 2, MAX_UNREAD_MESSAGES // 2 + 50):
            # Each connection of its own: calls of one are bounded.
            channel = grpc.insecure_channel(server.grpc, options=[("grpc.use_local_subchannel_pool", 1)])
            opened.append(channel)
            ask: grpc.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(PREDICT)
            calls += [ask.future(nothing(), timeout=120) for _ in range(count)]
            peer = Peer(server, models, "toy")
            assert peer.scale(timeout=20) == (1.0, 1)
            peer.channel.close()
        if front == "native":
            assert not any(call.done() for call in calls)
            return
        end = time.monotonic() + 30
        while (
            waiting := sum(not call.done() for call in calls)
        ) > MAX_UNREAD_MESSAGES and time.monotonic() < end:
            time.sleep(0.1)
        assert waiting == MAX_UNREAD_MESSAGES
        refused = [call for call in calls if call.done()]
        assert {call.code() for call in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert all("arriving slowly" in call.details() for call in refused)
    finally:
        stop.set()
        for channel in opened:
            channel.close()


@both_fronts
def test_messages_that_stop_in_the_middle_do_not_fill_the_memory(models: Path, front: str) -> None:
    data = message(np.zeros(40 * MB, np.float32))
    with limited_server(models, 1800 * MB, front) as server, contextlib.ExitStack() as stack:
        peer = Peer(server, models, "toy")
        assert peer.scale() == (1.0, 1)
        before = server.resident()
        calls: list[Any] = []
        for _ in range(6):
            link = stack.enter_context(stalled_link(server.grpc, to_server=len(data) - MB))
            channel = stack.enter_context(grpc.insecure_channel(link, options=UNLIMITED))
            ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PREDICT)
            calls.append(ask.future(data, timeout=120))
        most = highest(server, 30, lambda: any(call.done() for call in calls))
        assert peer.scale(timeout=20) == (1.0, 1)
        refused = [call for call in calls if call.done()]
        assert refused
        assert {call.code() for call in refused} == {ENDED[front]}
        assert "short of memory" in (refused[0].details() if front == "grpcio" else server.log_text())
        # All of them would be 954 MB, more than the group has; a quarter of what it has is 270 MB.
        assert most < before + 650 * MB
        peer.channel.close()
    assert server.process.returncode == 0


@both_fronts
@pytest.mark.parametrize("stalled", [False, True], ids=["by the caller", "by the machine"])
def test_answers_that_are_not_taken_do_not_fill_the_memory(models: Path, stalled: bool, front: str) -> None:
    data = message(np.array([10 * MB], np.int32), "large", "size")
    with limited_server(models, 1800 * MB, front) as server, contextlib.ExitStack() as stack:
        peer = Peer(server, models, "toy")
        assert peer.scale() == (1.0, 1)
        before, target = server.resident(), server.grpc
        if stalled:
            target = stack.enter_context(stalled_link(target, to_client=100_000))
        channel = stack.enter_context(grpc.insecure_channel(target, options=UNLIMITED))
        # Asked for as a stream, an answer is read when it is looked at, which never happens.
        ask: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(PREDICT)
        calls: list[Any] = []
        for _ in range(30):
            calls.append(ask(data, timeout=120))
            time.sleep(0.1)
            assert peer.scale(timeout=20) == (1.0, 1)
            # All of them would be 1.2 GB; a quarter of what the group has, and what is on its way into the count. The
            # native front copies an answer once more.
            assert server.resident() < before + (850 if front == "native" else 700) * MB
        peer.channel.close()
    assert server.process.returncode == 0


@both_fronts
def test_large_messages_at_once_do_not_fill_the_memory(models: Path, front: str) -> None:
    """Each needs several times its size; together they would need 4 GB."""
    values = np.arange(20 * MB, dtype=np.float32)
    data = message(values)
    with limited_server(models, 1800 * MB, front) as server, contextlib.ExitStack() as stack:
        calls: list[Any] = []
        for _ in range(8):
            options = [*UNLIMITED, ("grpc.use_local_subchannel_pool", 1)]
            channel = stack.enter_context(grpc.insecure_channel(server.grpc, options=options))
            ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PREDICT)
            calls.append(ask.future(data, timeout=120))
        codes = [call.code() for call in calls]
        # Some are ended while they are being sent (with their connection, also by gRPC itself when a ping is late),
        # others refused when they are whole.
        assert grpc.StatusCode.OK in codes
        assert set(codes) - {grpc.StatusCode.OK} <= set(ENDED.values())
        assert len(set(codes)) > 1
        answer = predict_pb2.PredictResponse.FromString(calls[codes.index(grpc.StatusCode.OK)].result())
        np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["y"]), values)
        # Alone it is answered, whatever was refused before.
        again = stack.enter_context(grpc.insecure_channel(server.grpc, options=UNLIMITED))
        ask = again.unary_unary(PREDICT)
        assert ask(data, timeout=60)
    assert server.process.returncode == 0


@both_fronts
def test_shapes_that_claim_much_do_not_fill_the_memory(models: Path, front: str) -> None:
    """A shape without values is filled in: a message of 60 bytes may claim as much as a large one sends."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "toy"
    request.inputs["x"].dtype = tf.float32.as_datatype_enum
    size = request.inputs["x"].tensor_shape.dim.add()
    with limited_server(models, 1800 * MB, front) as server, grpc.insecure_channel(server.grpc) as channel:
        ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PREDICT)
        size.size = 60 * MB
        calls = [ask.future(request.SerializeToString(), timeout=120) for _ in range(8)]
        assert {call.code() for call in calls} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert "takes 251658240 bytes more than it has sent" in str(calls[0].details())
        # What is refused or answered is not counted any more.
        size.size = MB // 2
        for _ in range(100):
            assert ask(request.SerializeToString(), timeout=60)
    assert server.process.returncode == 0


@pytest.mark.parametrize("kind", ["examples", "strings"])
def test_very_many_small_parts_do_not_fill_the_memory(tmp_path: Path, kind: str) -> None:
    """Parts of two bytes take hundreds: 16 MB of empty examples took 1.2 GB, and the limit ended the server."""
    save_regressor(tmp_path)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "half"
    proto = request.inputs["inputs"]
    proto.dtype = tf.string.as_datatype_enum
    size = 8 * MB if kind == "examples" else 20 * MB
    proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = bytes(size)
    examples = regression_pb2.RegressionRequest()
    examples.model_spec.name = "half"
    examples.input.example_list.SetInParent()
    method, data = PREDICT, request.SerializeToString()
    if kind == "examples":
        # Field 2, `input`, again: what is sent twice is merged. In it field 1, and in that empty examples.
        method, data = REGRESS, examples.SerializeToString() + _nested(2, _nested(1, b"\x0a\0" * size))
    with (
        memory_limit(1800 * MB) as leave,
        running_server(tmp_path, *ONCE, model="half") as server,
        grpc.insecure_channel(server.grpc, options=UNLIMITED) as channel,
    ):
        leave()
        ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        call = ask.future(data, timeout=120)
        assert call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, call.details()
        assert "bytes more than it has sent" in str(call.details())
        examples.input.example_list.examples.add().features.feature["x"].float_list.value.append(3.0)
        # A connection whose messages filled the memory gets no answer until the memory has gone back.
        regress: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(REGRESS)
        deadline = time.monotonic() + 60
        while (
            again := regress.future(examples.SerializeToString(), timeout=60)
        ).code() != grpc.StatusCode.OK:
            assert time.monotonic() < deadline, again.details()
            time.sleep(0.1)
    assert server.process.returncode == 0


def _nested(field: int, content: bytes) -> bytes:
    """A message as a field of another."""
    size, length = len(content), bytearray()
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([field << 3 | 2, *length, size]) + content


def test_many_examples_hold_up_no_other_request(tmp_path: Path) -> None:
    save_regressor(tmp_path)
    request = regression_pb2.RegressionRequest()
    request.model_spec.name = "half"
    request.input.example_list_with_context.context.features.feature["x"].float_list.value.append(3.0)
    # Empty examples, two bytes each.
    request.input.example_list_with_context.MergeFromString(b"\x0a\x00" * 450_000)
    one = regression_pb2.RegressionRequest.FromString(request.SerializeToString())
    del one.input.example_list_with_context.examples[1:]
    waits: list[float] = []
    with running_server(tmp_path, *ONCE, model="half") as server, contextlib.ExitStack() as stack:
        first, second = (
            stack.enter_context(
                grpc.insecure_channel(
                    server.grpc, options=[*UNLIMITED, ("grpc.use_local_subchannel_pool", 1)]
                )
            )
            for _ in range(2)
        )
        ask = PredictionServiceStub(first).Regress
        calls = [ask.future(request, timeout=120) for _ in range(3)]
        look = PredictionServiceStub(second).Regress
        while not all(call.done() for call in calls):
            began = time.monotonic()
            assert look(one, timeout=60).result.regressions[0].value == 1.5
            waits.append(time.monotonic() - began)
        values = {item.value for item in calls[0].result().result.regressions}
        assert values == {1.5}
    # What a busy machine adds is left aside: the fault were 10 s and more.
    assert max(waits) < 5
