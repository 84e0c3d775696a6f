"""The commands, run as a user runs them."""

import io
import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from atelier_client.metrics import per_class, summary
from atelier_client.png import png
from PIL import Image

from tests.client.conftest import COMMAND, command, write_split
from tests.support.models import publish_untrained
from tests.support.server import free_port, running_server


def evaluate(server, models, data, reports, *more):
    return command(
        "evaluate", "--target", server.grpc, "--models", models, "--data", data, "--reports", reports, *more
    )


def test_the_report_says_what_was_measured(server, models, data, tmp_path, images, client):
    done = evaluate(server, models, data, tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "evaluation.json").read_text())
    assert report["model"] == {"name": "fashion", "version": 1, "label": None, "target": server.grpc}
    assert set(report) == {
        "model", "dataset", "metrics", "trained", "per_class", "confusion_matrix", "latency_ms", "throughput", "skew"
    }  # fmt: skip
    labels = np.frombuffer((data / "fashion-mnist" / "t10k-labels-idx1-ubyte").read_bytes()[8:], np.uint8)
    right = client.predict(images)["class_id"] == labels
    assert report["metrics"]["accuracy"] == pytest.approx(right.mean())
    assert np.sum(report["confusion_matrix"]) == len(images) == report["dataset"]["examples"]
    assert np.trace(report["confusion_matrix"]) == right.sum()
    assert report["skew"] == {
        "examples": 16,
        "max_abs_diff": pytest.approx(0, abs=1e-6),
        "mismatched_labels": 0,
    }
    page = (tmp_path / "evaluation.html").read_text()
    assert page.count("data:image/png;base64,") == 24
    assert "http" not in page.replace("http-equiv", "")
    assert "accuracy" in done.stdout


def test_the_metrics_are_those_of_their_definitions():
    probabilities = np.array([[0.7, 0.2, 0.1, 0.0], [0.4, 0.35, 0.15, 0.1], [0.1, 0.2, 0.3, 0.4]], np.float32)
    labels = np.array([0, 1, 0])
    confusion = np.zeros((4, 4), int)
    confusion[0, 0] = confusion[1, 0] = confusion[0, 3] = 1
    classes = per_class(confusion, ["a", "b", "c", "d"])
    assert classes[0] == {"label": "a", "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert classes[1]["f1"] == 0.0
    values = summary(probabilities, labels, classes)
    assert values["accuracy"] == pytest.approx(1 / 3)
    assert values["top_3_accuracy"] == pytest.approx(2 / 3)
    assert values["loss"] == pytest.approx(-np.log([0.7, 0.35, 0.1]).mean(), rel=1e-6)


def test_json_is_one_document_on_stdout(server, models, data, tmp_path):
    done = evaluate(server, models, data, tmp_path, "--json")
    assert json.loads(done.stdout) == json.loads((tmp_path / "evaluation.json").read_text())
    assert not (tmp_path / "evaluation.html").exists()


def test_a_version_that_is_not_the_trained_one_is_told_apart(tmp_path, data):
    """Version 1's golden examples beside other weights: what a mixed-up deployment looks like."""
    models = tmp_path / "models"
    publish_untrained(models, seed=1)
    other = publish_untrained(models, seed=2)
    shutil.copy(models / "fashion/1/assets.extra/golden.npz", other / "assets.extra/golden.npz")
    with running_server(models) as server:
        done = evaluate(server, models, data, tmp_path / "reports")
        assert done.returncode == 1
        assert "answers its golden examples wrongly" in done.stderr
        assert json.loads((tmp_path / "reports/evaluation.json").read_text())["skew"]["mismatched_labels"] > 0
        waited = command("status", "--wait", "5", "--target", server.grpc, "--models", models)
        assert waited.returncode == 1
        assert "golden examples wrongly" in waited.stderr

        (other / "assets.extra/golden.npz").write_bytes(b"damaged")
        done = evaluate(server, models, data, tmp_path / "reports")
        assert done.returncode == 2
        assert "golden.npz is damaged" in done.stderr

        (other / "assets.extra/golden.npz").unlink()
        done = evaluate(server, models, data, tmp_path / "reports")
        assert done.returncode == 0
        assert "no golden examples" in done.stderr


def test_a_server_killed_in_the_middle_is_a_clear_error_and_no_report(models, tmp_path):
    images = np.zeros((400_000, 28, 28), np.uint8)
    write_split(tmp_path / "data", images, np.zeros(len(images), np.uint8))
    with running_server(models) as server:
        arguments = [
            "--target",
            server.grpc,
            "--models",
            models,
            "--data",
            tmp_path / "data",
            "--reports",
            tmp_path,
        ]
        with subprocess.Popen(
            [COMMAND, "evaluate", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            time.sleep(0.6)
            os.kill(server.process.pid, signal.SIGKILL)
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert "Cannot reach a model server" in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.glob("*evaluation*"))


def test_ctrl_c_exits_130(models, tmp_path):
    with subprocess.Popen(
        [COMMAND, "status", "--wait", "60", "--target", f"127.0.0.1:{free_port()}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_wrong_data_folder_is_explained(server, models, tmp_path):
    done = evaluate(server, models, tmp_path, tmp_path)
    assert done.returncode == 2
    assert "t10k-images-idx3-ubyte is missing" in done.stderr
    write_split(tmp_path, np.zeros((3, 28, 28), np.uint8), np.zeros(2, np.uint8))
    assert "3 images but 2 labels" in evaluate(server, models, tmp_path, tmp_path).stderr
    write_split(tmp_path, np.zeros((3, 28, 28), np.uint8), np.full(3, 11, np.uint8))
    assert "do not belong together" in evaluate(server, models, tmp_path, tmp_path).stderr
    images = tmp_path / "fashion-mnist" / "t10k-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    assert "its header promises" in evaluate(server, models, tmp_path, tmp_path).stderr


def test_predict_reads_idx_npy_and_npz(server, models, data, images, tmp_path):
    idx = data / "fashion-mnist" / "t10k-images-idx3-ubyte"
    np.save(tmp_path / "rows.npy", images[:3])
    np.savez(tmp_path / "rows.npz", images=images[:3])
    answers = [
        json.loads(
            command(
                "predict", file, "--rows", "0:3", "--json", "--target", server.grpc, "--models", models
            ).stdout
        )
        for file in (idx, tmp_path / "rows.npy", tmp_path / "rows.npz")
    ]
    assert answers[0] == answers[1] == answers[2]
    assert [row["row"] for row in answers[0]["predictions"]] == [0, 1, 2]
    assert len(answers[0]["predictions"][0]["top"]) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["predict", "nowhere.npy"], 2, "nowhere.npy does not exist"),
        (["predict", "nowhere.npy", "--rows", "a:b"], 2, "expected A:B"),
        (["frobnicate"], 2, "frobnicate"),
        (["metadata", "--model", "nix"], 2, "nix"),
        (["status", "--wait", "0.2", "--version", "9"], 3, "version 9 was not ready"),
    ],
)
def test_a_users_mistake_is_one_message(server, arguments, code, said):
    more = [] if arguments == ["frobnicate"] else ["--target", server.grpc]
    done = command(*arguments, *more)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_status_and_metadata_for_people_and_programs(server):
    assert "AVAILABLE" in command("status", "--target", server.grpc).stdout
    assert "images: uint8 [N,28,28]" in command("metadata", "--target", server.grpc).stdout
    entries = json.loads(command("status", "--json", "--target", server.grpc).stdout)
    assert entries == [{"version": 1, "state": "AVAILABLE", "error": ""}]
    assert "serving_default" in json.loads(command("metadata", "--json", "--target", server.grpc).stdout)


def test_help_has_an_example_for_every_command():
    for name in ("evaluate", "predict", "status", "metadata"):
        text = command(name, "--help").stdout
        assert f"Example: atelier-client {name}" in text
        assert "ATELIER_TARGET" in text


def test_a_picture_survives_the_png_encoder():
    image = np.arange(28 * 28, dtype=np.uint8).reshape(28, 28)
    with Image.open(io.BytesIO(png(image))) as opened:
        np.testing.assert_array_equal(np.asarray(opened), image)
