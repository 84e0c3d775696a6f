"""Training and export, through the command, on the real data."""

import json
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_trainer.job_file import load_job
from atelier_trainer.publishing.exported_model import ExportedModel

from tests.support.trainer_command import COMMAND, trainer


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, data: Path) -> tuple[dict[str, Any], Path, str]:
    """The default job, trained and published once: (result line, version folder, stderr)."""
    models = tmp_path_factory.mktemp("models")
    runs = tmp_path_factory.mktemp("runs")
    done = trainer("train", "fashion-dense", "--models", models, "--data", data, "--runs", runs)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), models / "fashion" / "1", done.stderr


def test_the_default_job_reaches_its_accuracy(published: tuple[dict[str, Any], Path, str]) -> None:
    result, _, _ = published
    assert result["trained"]
    assert result["metrics"]["examples"] == 10_000
    assert result["metrics"]["accuracy"] >= 0.88


def test_progress_is_a_line_an_epoch_without_start_up_noise(
    published: tuple[dict[str, Any], Path, str],
) -> None:
    lines = published[2].splitlines()
    assert sum(line.startswith("epoch") for line in lines) == load_job("fashion-dense").fit.epochs
    allowed = ("epoch", "data:", "test:", "published")
    assert [line for line in lines if not line.startswith(allowed)] == []


def test_the_signatures_are_those_of_the_contract(published: tuple[dict[str, Any], Path, str]) -> None:
    _, version, _ = published
    exported = ExportedModel(version)
    images = np.random.default_rng(0).integers(0, 256, [3, 28, 28], np.uint8)
    raw = exported.predict({"images": images})
    assert {name: (value.dtype.kind, value.shape) for name, value in raw.items()} == {
        "probabilities": ("f", (3, 10)),
        "class_id": ("i", (3,)),
        "label": ("O", (3,)),
    }
    scaled = exported.predict({"pixels": images.reshape(3, 784).astype(np.float32) / 255}, "scaled")
    np.testing.assert_allclose(raw["probabilities"], scaled["probabilities"], atol=1e-6)
    assert exported.predict({"images": images[:0]})["probabilities"].shape == (0, 10)


def test_the_classify_signature_carries_its_method_name(published: tuple[dict[str, Any], Path, str]) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    document = saved_model_pb2.SavedModel.FromString((published[1] / "saved_model.pb").read_bytes())
    signatures = document.meta_graphs[0].signature_def
    assert signatures["classify"].method_name == "tensorflow/serving/classify"
    assert set(signatures["classify"].inputs) == {"inputs"}
    assert set(signatures["classify"].outputs) == {"classes", "scores"}
    assert signatures["serving_default"].method_name == "tensorflow/serving/predict"


def test_golden_examples_are_what_the_exported_model_answers(
    published: tuple[dict[str, Any], Path, str],
) -> None:
    with np.load(published[1] / "assets.extra" / "golden.npz", allow_pickle=False) as golden:
        answers = ExportedModel(published[1]).predict({"images": golden["inputs/images"]})
        np.testing.assert_allclose(answers["probabilities"], golden["outputs/probabilities"], atol=1e-6)
        assert answers["label"].astype("S").tolist() == golden["outputs/label"].tolist()


def test_the_model_card_says_what_was_trained_on_what(
    published: tuple[dict[str, Any], Path, str], data: Path
) -> None:
    card = json.loads((published[1] / "assets.extra" / "model_card.json").read_text())
    assert card["parameters"] == 784 * 128 + 128 + 128 * 10 + 10
    assert card["data"]["test"]["examples"] == 10_000
    assert card["versions"]["tensorflow"] == metadata.version("tensorflow")
    done = trainer("evaluate", published[1], "--data", data)
    assert json.loads(done.stdout) == card["metrics"]["test"]


def test_if_needed_trains_only_when_the_job_changed(
    published: tuple[dict[str, Any], Path, str], data: Path, job: Path
) -> None:
    models = published[1].parent.parent
    started = time.monotonic()
    done = trainer("train", "fashion-dense", "--if-needed", "--models", models, "--data", data)
    assert json.loads(done.stdout)["trained"] is False
    assert json.loads(done.stdout)["version"] == 1
    assert time.monotonic() - started < 30
    done = trainer("train", job, "--if-needed", "--models", models, "--data", data)
    assert json.loads(done.stdout)["trained"] is True


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_cleans_up(tmp_path: Path, data: Path, which: signal.Signals) -> None:
    models = tmp_path / "models"
    with subprocess.Popen(
        [COMMAND, "train", "fashion-dense", "--models", str(models), "--data", str(data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("epoch  1")
        process.send_signal(which)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert [path.name for path in (models / "fashion").iterdir()] == [".publish.lock"]


def test_an_interrupt_in_a_destructor_is_not_lost() -> None:
    """Python ignores what is raised there: the signal comes while an object is taken away."""
    code = """
import os, signal
from atelier_trainer import interrupt
class Resource:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass
interrupt.install()
resource = Resource()
del resource
print("went on")
interrupt.check()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "went on\n"
    assert "Exception ignored in" in done.stderr
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    assert done.returncode != 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "nothing-like-it"], "No job"),
        (["train"], "Missing argument"),
        (["evaluate", "nowhere"], "does not hold a SavedModel"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_a_users_mistake_is_one_message(arguments: list[str], said: str, data: Path, tmp_path: Path) -> None:
    done = trainer(*arguments, environ={"ATELIER_DATA": str(data)}, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_help_shows_examples_and_is_quick() -> None:
    done = trainer("train", "--help")
    assert "Example: atelier-trainer train" in done.stdout
    assert "ATELIER_MODELS" in done.stdout
