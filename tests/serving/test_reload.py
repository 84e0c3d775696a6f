"""HandleReloadConfigRequest and labels: what may change, what is refused, who waits for whom."""

from __future__ import annotations

import shutil
import threading
import time

import grpc
import pytest

from tests.support.peer import AVAILABLE, BOTH, END, Peer, label, refused
from tests.support.wire import X, predict_request

NOT_AVAILABLE = (
    "Request to assign label to version {} of model {}, which is not currently available for inference"
)


def test_labels_follow_reloads(peer: Peer) -> None:
    peer.save(2)
    peer.reload(peer.config(BOTH))
    peer.wait(lambda: peer.states() == {1: AVAILABLE, 2: AVAILABLE})
    peer.reload(peer.config(BOTH, label(1)))
    assert peer.scale(label="stable") == (1.0, 1)
    assert peer.scale() == (2.0, 2)
    peer.reload(peer.config(BOTH, label(2), label(2, "canary")))
    assert peer.scale(label="stable") == peer.scale(label="canary") == (2.0, 2)
    peer.reload(peer.config(BOTH, label(1)))
    with pytest.raises(grpc.RpcError, match="Unrecognized servable version label: canary"):
        peer.scale(label="canary")


def test_a_label_on_a_version_that_does_not_answer_is_refused_and_changes_nothing(peer: Peer) -> None:
    peer.reload(peer.config(label(1)))
    code = grpc.StatusCode.FAILED_PRECONDITION
    assert refused(peer, peer.config(label(7))) == (code, NOT_AVAILABLE.format(7, peer.name))
    # Adding a version and pointing a label at it in one reload: neither happens.
    peer.save(2)
    text = NOT_AVAILABLE.format(2, peer.name)
    assert refused(peer, peer.config("model_version_policy { specific { versions: 2 } }", label(2))) == (
        code,
        text,
    )
    peer.wait(lambda: peer.scale() == (2.0, 2))
    with pytest.raises(grpc.RpcError, match=rf"Specific\({peer.name}, 1\)"):
        peer.wait(lambda: peer.scale(label="stable") is None)


def test_an_omitted_model_is_unloaded_and_comes_back_with_a_later_reload(peer: Peer) -> None:
    peer.reload()
    peer.wait(lambda: peer.states() == {1: END})
    with pytest.raises(grpc.RpcError, match="Servable not found for request"):
        peer.scale()
    peer.reload(peer.config())
    assert peer.scale() == (1.0, 1)


def test_a_new_model_answers_when_the_reload_returns(peer: Peer) -> None:
    other = f"{peer.name}-new"
    peer.save(1, name=other, factor=3.0)
    answer = peer.reload(peer.config(), peer.config(name=other), metrics=["/any/metric"])
    assert peer.scale(name=other) == (3.0, 1)
    assert (answer.status.error_code, answer.status.error_message) == (0, "")
    assert [(metric.name, metric.int64_value_increase) for metric in answer.metric] == [("/any/metric", 0)]


def test_a_new_model_that_does_not_load_is_reported(peer: Peer) -> None:
    broken = peer.staged(name="broken")
    (broken / "saved_model.pb").write_bytes(b"\x08")
    peer.publish(broken, 1, name="broken")
    code, text = refused(peer, peer.config(), peer.config(name="broken"))
    assert code == grpc.StatusCode.UNKNOWN
    assert text == (
        "1 model(s) did not become available: {{{name: broken version: 1} due to error: "
        "OUT_OF_RANGE: Read less bytes than requested}, }"
    )
    assert peer.scale() == (1.0, 1)


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_a_reload_waits_for_a_missing_model_as_long_as_the_caller_and_blocks_nobody(
    peer: Peer, kind: str
) -> None:
    other = f"{peer.name}-{kind}"
    if kind == "empty":
        (peer.models / other).mkdir()
    begun = time.monotonic()
    code, _ = refused(peer, peer.config(), peer.config(name=other), timeout=1)
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - begun < 5
    peer.save(2)
    peer.wait(lambda: peer.scale() == (2.0, 2))
    # The model is still wanted, and comes when its folder does.
    peer.save(1, name=other, factor=9.0)
    peer.wait(lambda: peer.states(other) == {1: AVAILABLE})
    assert peer.scale(name=other) == (9.0, 1)


def test_a_newer_reload_ends_the_wait_of_an_older_one(peer: Peer) -> None:
    results = []
    entries = (peer.config(), peer.config(name=f"{peer.name}-missing"))
    waiting = threading.Thread(target=lambda: results.append(refused(peer, *entries)))
    waiting.start()
    time.sleep(0.5)
    peer.reload(peer.config())
    waiting.join(timeout=5)
    assert results == [(grpc.StatusCode.ABORTED, "Another configuration has replaced this one.")]


def test_a_base_path_may_change_and_a_loaded_number_stays(peer: Peer) -> None:
    moved = peer.models / "moved"
    shutil.copytree(peer.save(2, name="source"), moved / "2")
    shutil.copytree(peer.save(3, name="source", factor=9.0), moved / "1")
    peer.reload(peer.config("model_version_policy { all {} }", path=moved))
    peer.wait(lambda: peer.states() == {1: AVAILABLE, 2: AVAILABLE})
    assert peer.scale(1) == (1.0, 1)
    assert peer.scale(2) == (2.0, 2)


def test_an_empty_name_is_accepted(peer: Peer) -> None:
    peer.reload(peer.config(), peer.config(name="", path=peer.models / peer.name))
    with pytest.raises(grpc.RpcError, match=r"ModelSpec has no name specified\."):
        peer.prediction.Predict(predict_request(name="", x=X), timeout=5)
    assert peer.scale() == (1.0, 1)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ('name: "m" base_path: "rel" model_platform: "tensorflow"', "to have an absolute path or URI"),
        ('name: "m" base_path: "" model_platform: "tensorflow"', "to have an absolute path or URI"),
        ('name: "m" base_path: "/m"', "neither ModelServerConfig::model_type (deprecated) nor"),
        ('name: "m" base_path: "/m" model_platform: "onnx"', "Model m requests unsupported platform onnx"),
        (
            'name: "m" base_path: "/m" model_type: OTHER',
            "ModelServerConfig::model_type choice 2 not supported.",
        ),
        (
            'name: "m" base_path: "/m" model_type: TENSORFLOW model_platform: "tensorflow"',
            "Illegal setting both",
        ),
        ('name: "m" base_path: "gs://bucket/m" model_platform: "tensorflow"', "reads local folders only"),
    ],
)
def test_a_wrong_entry_is_refused_and_changes_nothing(peer: Peer, entry: str, text: str) -> None:
    code, details = refused(peer, f"config {{ {entry} }}")
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert text in details
    assert peer.scale() == (1.0, 1)


def test_the_deprecated_model_type_and_a_file_uri_are_read(peer: Peer) -> None:
    peer.reload(
        f'config {{ name: "{peer.name}" base_path: "file://{peer.models}/{peer.name}" model_type: TENSORFLOW }}'
    )
    assert peer.scale() == (1.0, 1)
