"""Warm-up records: which are replayed, how many, and what a bad one does to its version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import Message
from tensorflow_serving.apis import prediction_log_pb2

from tests.support.conformance_model import save_conformance_model
from tests.support.peer import AVAILABLE, END, Peer
from tests.support.wire import X, classify_request, example, multi_request, predict_request, regress_request

PATH = "assets.extra/tf_serving_warmup_requests"
PREDICT = predict_request(x=X)
# It takes records, or the bytes of the file; it gives the error that the version ends with.
Publish = Callable[[Sequence[bytes] | bytes], str]


def log(request: Message) -> bytes:
    """A PredictionLog record of a request."""
    name = type(request).__name__.removesuffix("Request")
    field = {
        "Predict": "predict_log",
        "Classification": "classify_log",
        "Regression": "regress_log",
        "MultiInference": "multi_inference_log",
        "SessionRun": "session_run_log",
    }[name]
    made = prediction_log_pb2.PredictionLog()
    getattr(made, field).request.CopyFrom(request)
    return made.SerializeToString()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The conformance model, which has a signature for each kind of request."""
    return save_conformance_model(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def publish(peer: Peer, whole: Path) -> Publish:
    """Publish version 2 with warm-up records, or with a file of these bytes; wait for what becomes of it."""

    def publish(records: Sequence[bytes] | bytes) -> str:
        staged = peer.models / peer.name / ".staging"
        tf.io.gfile.makedirs(str(staged))
        for source in whole.rglob("*"):
            target = staged / source.relative_to(whole)
            target.mkdir(exist_ok=True) if source.is_dir() else target.write_bytes(source.read_bytes())
        (staged / "assets.extra").mkdir()
        if isinstance(records, bytes):
            (staged / PATH).write_bytes(records)
        else:
            with tf.io.TFRecordWriter(str(staged / PATH)) as writer:
                for record in records:
                    writer.write(record)
        peer.publish(staged, 2)
        peer.wait(lambda: peer.states().get(2) in (AVAILABLE, END))
        return peer.error(2)

    return publish


REPLAYED = {
    "none": [],
    "predict": [log(PREDICT)],
    "another model and version": [log(predict_request(name="other", version=77, x=X))],
    "classify": [log(classify_request(example(value=1.0), signature="classify"))],
    "regress": [log(regress_request(example(value=1.0), signature="regress"))],
    "multi-inference": [
        log(
            multi_request(
                [("classify", {"signature": "classify"}), ("regress", {"signature": "regress"})], example()
            )
        )
    ],
    "a record without a request": [b""],
    "a thousand": [log(PREDICT)] * 1000,
}
REFUSED = {
    "one more than a thousand": (
        [log(PREDICT)] * 1001,
        "Number of warmup records exceeds the maximum (1000) at ",
    ),
    "wrong type": (
        [log(PREDICT), log(predict_request(x=X.astype(np.int32)))],
        "Expects arg[0] to be float but int32 is provided",
    ),
    "unknown signature": (
        [log(predict_request(signature="nix", x=X))],
        'Serving signature key "nix" not found.',
    ),
    "no examples": ([log(regress_request(signature="regress"))], "Input is empty."),
    "no record of a request": ([b"\xff\xff"], "Failed to parse warmup record: "),
    "not a TFRecord file": (b"no record" * 9, ". Please verify your warmup data is in TFRecord format."),
    "a file cut short": (None, ". Please verify your warmup data is in TFRecord format."),
}


@pytest.mark.parametrize("records", REPLAYED.values(), ids=REPLAYED)
def test_good_records_let_the_version_come_up(peer: Peer, publish: Publish, records: list[bytes]) -> None:
    assert publish(records) == ""
    assert peer.scale()[1] == 2


@pytest.mark.parametrize(("records", "error"), REFUSED.values(), ids=REFUSED)
def test_a_bad_record_fails_its_version_and_no_other(
    peer: Peer, publish: Publish, tmp_path: Path, records: list[bytes] | bytes | None, error: str
) -> None:
    if records is None:
        path = tmp_path / "records"
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(log(PREDICT))
        records = path.read_bytes()[:-7]
    assert error in publish(records)
    assert peer.states() == {2: END, 1: AVAILABLE}
    assert peer.scale() == (1.0, 1)


@pytest.mark.parametrize(("field", "number"), [("session_run_log", 5), ("predict_streamed_log", 7)])
def test_other_kinds_of_records_are_not_supported(publish: Publish, field: str, number: int) -> None:
    made = prediction_log_pb2.PredictionLog()
    getattr(made, field).SetInParent()
    assert publish([made.SerializeToString()]) == f"Unsupported log_type for warmup: {number}"


def test_a_version_answers_only_after_its_warm_up(
    peer: Peer, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 records that make 20 MB each take a while; the version before answers meanwhile."""
    seen: list[tuple[int | None, int]] = []
    large = log(predict_request(signature="large", size=np.array([5_000_000], np.int32)))
    original = peer.wait

    def watch(condition: Callable[[], bool], seconds: float = 30) -> None:
        def look() -> bool:
            answered = peer.scale()[1]
            # The state afterwards: between the two the version may have become AVAILABLE, not the other way round.
            seen.append((peer.states().get(2), answered))
            return condition()

        original(look, seconds)

    monkeypatch.setattr(peer, "wait", watch)
    assert publish([large] * 100) == ""
    assert (20, 1) in seen
    assert all(answered == 1 for state, answered in seen if state != AVAILABLE)
