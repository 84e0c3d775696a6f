"""The command `drift` on logs that have changed, that have not, and that are broken."""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from atelier_client._model_card import card_path, read_card
from atelier_client.data.tfrecord import framed
from atelier_client.drift.reference import read_reference
from atelier_client.errors import DataError
from atelier_client.messages.tf_example import to_examples

from tests.support.client_command import command
from tests.support.drift_models import Published, figures, publish
from tests.support.request_logs import START, write_log

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish(tmp_path_factory.mktemp("pictures"), "pictures")


@pytest.fixture(scope="module")
def asked(pictures: Published) -> np.ndarray:
    """Pictures like those of the reference, which the model has not seen."""
    return figures(np.random.default_rng(9), 3000)


def log(folder: Path, published: Published, images: np.ndarray, **more: Any) -> Path:
    write_log(folder, {"images": images}, published.answers({"images": images}), model="pictures", **more)
    return folder


def drift(published: Published, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    models = published.folder.parents[1]
    reports = folder.parent / "reports"
    return command(
        "drift", "--log", folder, "--models", models, "--model", "pictures", "--reports", reports, *arguments
    )


def document_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_unchanged_requests_are_stable(tmp_path: Path, pictures: Published, asked: np.ndarray) -> None:
    folder = log(tmp_path / "log", pictures, asked)
    done = drift(pictures, folder, "--json")
    assert done.returncode == 0, done.stderr
    document = document_of(done)
    assert document["verdict"] == "stable"
    assert [window["examples"] for window in document["windows"]] == [1000, 1000, 1000]
    assert {window["skew"]["verdict"] for window in document["windows"]} == {"stable"}
    assert [window["drift"] and window["drift"]["verdict"] for window in document["windows"]] == [
        None, "stable", "stable",
    ]  # fmt: skip
    for column in document["windows"][0]["skew"]["columns"]:
        # Never a verdict without the size of the effect, its interval and the threshold, above it or below.
        low, high = column["interval"]
        assert low <= column["effect"] <= high
        assert column["effect"] < column["threshold"]
        assert "p_value" not in column


def test_an_inverted_camera_is_named(tmp_path: Path, pictures: Published, asked: np.ndarray) -> None:
    folder = log(tmp_path / "log", pictures, asked[:1000])
    log(folder, pictures, 255 - asked[1000:2000], start=START + HOUR)
    metrics = tmp_path / "drift.prom"
    done = drift(pictures, folder, "--metrics", metrics)
    assert done.returncode == 1, done.stderr
    assert re.search(r"share inverted 0 -> 1: an inverted camera", done.stdout)
    assert "concept drift" in done.stdout
    document = json.loads((tmp_path / "reports" / "drift.json").read_text())
    assert [window["verdict"] for window in document["windows"]] == ["stable", "changed"]
    skew, change = (document["windows"][1][side] for side in ("skew", "drift"))
    assert (skew["verdict"], change["verdict"]) == ("changed", "changed")
    columns = {column["name"]: column for column in skew["columns"]}
    # The model's answers decide, the picture's features explain.
    assert columns["predicted class"]["decides"]
    assert not columns["inverted"]["decides"]
    page = (tmp_path / "reports" / "drift.html").read_text()
    assert page.count('<svg class="pair"') == len(skew["columns"])
    assert "an inverted camera" in page
    text = metrics.read_text()
    assert 'atelier_drift_changed{model_name="pictures",model_version="1",column="inverted"} 1' in text
    assert 'atelier_estimated_accuracy{model_name="pictures",model_version="1"}' in text
    if promtool := shutil.which("promtool"):
        checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr


def test_a_changed_period_is_passed_over_with_since(
    tmp_path: Path, pictures: Published, asked: np.ndarray
) -> None:
    folder = log(tmp_path / "log", pictures, 255 - asked[:1000])
    log(folder, pictures, asked[1000:2000], start=START + HOUR)
    assert drift(pictures, folder).returncode == 1
    since = (START + HOUR).isoformat()
    assert drift(pictures, folder, "--since", since).returncode == 0


def test_windows_of_time_and_a_clock_that_jumps(
    tmp_path: Path, pictures: Published, asked: np.ndarray
) -> None:
    folder = log(tmp_path / "log", pictures, asked[:1000], step=timedelta(seconds=6))
    log(folder, pictures, asked[:5], start=START - 24 * 365 * HOUR, step=HOUR)
    path = next(folder.glob("*.tfrecord"))
    assert path.name.startswith("pictures-")
    document = document_of(drift(pictures, folder, "--json", "--every", "1h"))
    assert [window["examples"] for window in document["windows"]] == [1, 1, 1, 1, 1, 600, 400]
    assert sum(window["requests"] for window in document["windows"]) == document["log"]["requests"]
    jumped = tmp_path / "jumped"
    jumped.mkdir()
    # One process whose clock was set back a year in the middle of its file.
    later, earlier = (next(folder.glob(f"*{millis}*")) for millis in _milliseconds())
    (jumped / later.name).write_bytes(later.read_bytes() + earlier.read_bytes())
    done = drift(pictures, jumped, "--json")
    document = document_of(done)
    assert document["log"]["requests"] == 1005
    assert [remark for remark in document["remarks"] if "the clock was set back" in remark]


def _milliseconds() -> tuple[int, int]:
    return tuple(round(time.timestamp() * 1000) for time in (START, START - 24 * 365 * HOUR))  # type: ignore[return-value]


def test_torn_and_foreign_records_are_said_and_the_others_count(
    tmp_path: Path, pictures: Published, asked: np.ndarray
) -> None:
    folder = log(tmp_path / "log", pictures, asked[:1000])
    torn = write_log(
        folder, {"images": asked[:50]}, {}, model="pictures", start=START + HOUR, signature="scaled"
    )
    torn.write_bytes(torn.read_bytes()[:-20])
    with tf.io.TFRecordWriter(str(folder / "notes.tfrecord")) as writer:
        writer.write(b"something else")
    done = drift(pictures, folder)
    assert done.returncode == 0, done.stderr
    assert "record 50: the file ends within it" in done.stderr
    assert "notes.tfrecord, record 1: left out: it is no PredictionLog" in done.stderr
    assert "49 of 1,049 requests (signature scaled) have no answers" in done.stderr
    assert "Traceback" not in done.stderr


def test_several_signatures_count_together(tmp_path: Path, pictures: Published, asked: np.ndarray) -> None:
    answers = pictures.answers({"images": asked[:1000]})
    pixels = (asked[500:1000].reshape(500, -1) / 255).astype(np.float32)
    write_log(
        tmp_path / "log",
        {"images": asked[:500]},
        {name: array[:500] for name, array in answers.items()},
        model="pictures",
        batch=50,
    )
    write_log(
        tmp_path / "log",
        {"pixels": pixels},
        {"probabilities": answers["probabilities"][500:]},
        model="pictures",
        batch=50,
        start=START + HOUR,
        signature="scaled",
    )
    done = drift(pictures, tmp_path / "log", "--json")
    document = document_of(done)
    assert done.returncode == 0, done.stderr
    assert document["log"]["requests"] == 20
    (window,) = document["windows"]
    assert {column["examples"] for column in window["skew"]["columns"]} == {1000}


def test_a_log_without_answers_is_judged_by_its_inputs(
    tmp_path: Path, pictures: Published, asked: np.ndarray
) -> None:
    folder = tmp_path / "log"
    write_log(
        folder,
        {"images": 255 - asked[:1000]},
        {},
        model="pictures",
        redacted=["probabilities", "label", "class_id"],
    )
    done = drift(pictures, folder, "--json")
    document = document_of(done)
    assert done.returncode == 1, done.stderr
    assert document["remarks"] == [
        "All requests (signature serving_default) have no answers that can be read (the log leaves out: class_id, "
        "label, probabilities): only their inputs are compared."
    ]
    (window,) = document["windows"]
    assert window["accuracy"]["estimated"] is None
    assert {column["name"] for column in window["skew"]["columns"] if column["effect"] is not None} == {
        "mean", "contrast", "ink area", "inverted",
    }  # fmt: skip


def test_an_empty_log_and_one_of_others_are_too_few(
    tmp_path: Path, pictures: Published, asked: np.ndarray
) -> None:
    (tmp_path / "log").mkdir()
    done = drift(pictures, tmp_path / "log")
    assert done.returncode == 4
    assert f"The log {tmp_path / 'log'} has no requests of pictures version 1." in done.stdout
    log(tmp_path / "log", pictures, asked[:30], version=7)
    done = drift(pictures, tmp_path / "log", "--version", 1)
    assert done.returncode == 4
    assert "but 30 of version 7" in done.stdout
    few = log(tmp_path / "few", pictures, asked[:30])
    done = drift(pictures, few)
    assert done.returncode == 4
    assert "Too few: pictures version 1, window 1 of 1 (30 examples)" in done.stdout
    missing = drift(pictures, tmp_path / "nowhere")
    assert missing.returncode == 2
    assert "expected the folder of a request log" in missing.stderr


def copied(pictures: Published, folder: Path) -> Published:
    """The version in a repository of its own, to be damaged."""
    shutil.copytree(pictures.folder.parents[1], folder)
    return Published(folder / "pictures" / "1", pictures.inputs, pictures.labels)


def test_a_version_without_reference_is_compared_with_the_window_before(
    tmp_path: Path, pictures: Published, asked: np.ndarray
) -> None:
    old = copied(pictures, tmp_path / "models")
    (old.folder / "assets.extra" / "reference.json").unlink()
    folder = log(tmp_path / "log", pictures, asked[:2000])
    done = drift(old, folder)
    assert done.returncode == 0, done.stderr
    assert "has no reference (assets.extra/reference.json)" in done.stderr
    log(folder, pictures, 255 - asked[2000:], start=START + HOUR)
    done = drift(old, folder, "--json")
    assert done.returncode == 1, done.stderr
    document = document_of(done)
    assert (document["reference"], document["against"]) == (None, "previous")
    assert [window["verdict"] for window in document["windows"]] == [None, "stable", "changed"]
    asked_for = drift(old, folder, "--against", "reference")
    assert asked_for.returncode == 2
    assert "--against previous" in asked_for.stderr


def test_a_model_that_nobody_here_has_published_is_compared_too(
    tmp_path: Path, pictures: Published, asked: np.ndarray
) -> None:
    folder = log(tmp_path / "log", pictures, asked[:2000])
    log(folder, pictures, 255 - asked[2000:], start=START + HOUR)
    done = command(
        "drift", "--log", folder, "--model", "pictures", "--models", tmp_path / "no", "--reports", tmp_path
    )
    assert done.returncode == 1, done.stderr
    assert "There is no model card: the inputs are taken for pictures of [12, 12]" in done.stderr
    assert "brightness" in done.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda document: document.update(model="other"),
            "belongs to another version .* the model is 'other'",
        ),
        (lambda document: document.update(run_id="7"), "the run is '7' and not None"),
        (lambda document: document["class_names"].reverse(), "the classes are"),
        (lambda document: document.update(labels=[]), "its SHA-256 is not the one that the card gives"),
        (lambda document: document.update(format=2), "has the format 2, and this client knows 1"),
    ],
)
def test_a_reference_that_contradicts_the_card_is_an_error(
    tmp_path: Path, pictures: Published, change: Any, said: str
) -> None:
    other = copied(pictures, tmp_path / "models")
    path = other.folder / "assets.extra" / "reference.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    (tmp_path / "log").mkdir()
    done = drift(other, tmp_path / "log")
    assert done.returncode == 2
    assert re.search(said, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document["columns"][1]["edges"].reverse(),
        lambda document: document["columns"][1]["counts"].pop(),
        lambda document: document["columns"][0].update(counts=[-1] * 5),
        lambda document: document["columns"][1].update(mean=float("nan")),
        lambda document: document["columns"][1].update(above=[1]),
        lambda document: document["columns"].append(document["columns"][0]),
        lambda document: document["calibration"].update(accuracy=[2.0]),
        lambda document: document.pop("calibration"),
        lambda document: document.update(columns=7),
        lambda document: document.update(background="green"),
    ],
)
def test_a_damaged_reference_is_one_sentence(tmp_path: Path, pictures: Published, damage: Any) -> None:
    folder = tmp_path / "1"
    shutil.copytree(pictures.folder / "assets.extra", folder / "assets.extra")
    path = folder / "assets.extra" / "reference.json"
    document = json.loads(path.read_text())
    damage(document)
    path.write_text(json.dumps(document))
    card = json.loads(card_path(folder).read_text())
    del card["files"]["assets.extra/reference.json"]
    card_path(folder).write_text(json.dumps(card))
    read = read_card(folder)
    assert read is not None
    with pytest.raises(DataError, match=r"reference\.json is damaged: .*\. Publish the version again"):
        read_reference(folder, read)


@pytest.mark.parametrize("file", ["feedback.npz", "feedback.tfrecord"])
def test_feedback_gives_the_realised_accuracy(
    tmp_path: Path, pictures: Published, asked: np.ndarray, file: str
) -> None:
    folder = log(tmp_path / "log", pictures, asked[:1000], batch=20)
    predicted = pictures.answers({"images": asked[:1000]})["class_id"]
    labels = predicted.copy()
    labels[:60] = (labels[:60] + 1) % 5
    if file.endswith(".npz"):
        np.savez(tmp_path / file, images=asked[:400], labels=labels[:400])
    else:
        # As the console writes them, one after the other.
        rows = [
            {"images": picture.astype(np.int64).reshape(-1), "label": int(label)}
            for picture, label in zip(asked[:400], labels[:400], strict=True)
        ]
        records = [framed(example.SerializeToString()) for example in to_examples(rows)]
        (tmp_path / file).write_bytes(b"".join(records))
    done = drift(pictures, folder, "--json", "--feedback", tmp_path / file)
    assert done.returncode == 0, done.stderr
    accuracy = document_of(done)["windows"][0]["accuracy"]
    assert accuracy["labelled"] == 400
    assert accuracy["realised"] == pytest.approx(340 / 400)
    low, high = accuracy["interval"]
    assert low < 0.85 < high
    low, high = accuracy["band"]
    assert low <= accuracy["estimated"] <= high
    assert "concept drift" in accuracy["note"]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--every", "0"],
        ["--every", "1y"],
        ["--since", "soon"],
        ["--since", "999999d"],
        ["--against", "x"],
        ["--metrics", "/"],
        ["--metrics", "no/such/folder.prom"],
    ],
)
def test_wrong_options_are_one_sentence(tmp_path: Path, pictures: Published, wrong: list[str]) -> None:
    done = drift(pictures, tmp_path, *wrong)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert wrong[0] in done.stderr


def test_json_changes_nothing_but_stdout(tmp_path: Path, pictures: Published, asked: np.ndarray) -> None:
    folder = log(tmp_path / "log", pictures, asked[:20])
    (folder / "x-1-1.tfrecord").write_bytes(b"no records at all")
    first = drift(pictures, folder)
    old = (tmp_path / "reports" / "drift.html").read_text()
    log(folder, pictures, asked[20:1020], start=START + HOUR)
    done = drift(pictures, folder, "--json")
    page = (tmp_path / "reports" / "drift.html").read_text()
    assert page != old
    document = document_of(done)
    assert document == json.loads((tmp_path / "reports" / "drift.json").read_text())
    assert document["at"] in page
    assert first.stderr == done.stderr


def test_a_disk_that_is_full_is_named_with_a_remedy(
    tmp_path: Path, pictures: Published, asked: np.ndarray
) -> None:
    folder = log(tmp_path / "log", pictures, asked[:20])
    models = pictures.folder.parents[1]
    done = command(
        "drift", "--log", folder, "--models", models, "--model", "pictures", "--reports", tmp_path, "--json",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: {tmp_path / 'drift.html'}: File too large. Make room there" in done.stderr
    assert list(tmp_path.iterdir()) == [folder]


def test_a_reference_without_its_card_and_requests_without_a_version_are_told_apart(
    tmp_path: Path, pictures: Published, asked: np.ndarray
) -> None:
    lost = copied(pictures, tmp_path / "models")
    card_path(lost.folder).unlink()
    done = drift(lost, log(tmp_path / "log", pictures, asked[:20]))
    assert "has a reference (assets.extra/reference.json) but no model card" in done.stderr
    nameless = log(tmp_path / "nameless", pictures, asked[:20], version=0)
    done = drift(pictures, nameless)
    assert "The requests do not say which version answered, so there is no reference for them" in done.stderr
    assert "pictures/0" not in done.stderr
    done = drift(pictures, nameless, "--version", 1)
    assert done.returncode == 4
    assert "no requests of pictures version 1, but 20 that do not say their version" in done.stdout
    assert "20 requests that do not say which version answered" in done.stderr
