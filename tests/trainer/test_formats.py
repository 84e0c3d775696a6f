"""Save and restore: in every format the restored model answers as the saved one, and damage is said to be damage."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from atelier_trainer.errors import FormatRefused, RunError
from atelier_trainer.job_file import load_job
from atelier_trainer.portable import onnx as onnx_runtime
from atelier_trainer.portable import save as portable
from atelier_trainer.publishing.pipeline import train_and_publish
from atelier_trainer.training import model_files
from atelier_trainer.training.fit import restore as restore_run
from atelier_trainer.training.run import find

from tests.support.trainer_command import trainer
from tests.support.without_packages import without_packages

ARTIFACTS = {
    "weights": "model.weights.h5",
    "checkpoint": "model",
    "keras": "model.keras",
    "h5": "model.h5",
    "json": "model.json",
}
JOBS = {
    "text": "data: {csv: data.csv, text: words, test_split: 0.5}\nnetwork: {hidden: [4], vocabulary: 20, l2: 0.01}",
    "embedding": "data: {csv: data.csv, text: words, test_split: 0.5}\n"
    "network: {embedding: 3, vocabulary: 20, length: 5}",
    "table": "data: {csv: table.csv}\nnetwork: {hidden: [4], dropout: 0.5}\noptimizer: {schedule: cosine, warmup: 0.2}",
    "image": "data: {csv: image.csv, image: [8, 8]}\nnetwork: {convolutions: [2, 3], hidden: [4]}",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished run of each kind of model, made in this process: a command each would import TensorFlow each."""
    folder = tmp_path_factory.mktemp("trained")
    random = np.random.default_rng(0)
    (folder / "data.csv").write_text("label,words\n" + "1,a good film\n0,a bad film\n" * 20)
    table = "".join(f"{a:.3f},{b:.3f},{'yes' if a > b else 'no'}\n" for a, b in random.normal(size=[60, 2]))
    (folder / "table.csv").write_text("a,b,label\n" + table)
    pixels = random.integers(0, 256, [60, 64])
    header = "label," + ",".join(f"p{number}" for number in range(64))
    rows = "".join(f"{number % 3}," + ",".join(map(str, row)) + "\n" for number, row in enumerate(pixels))
    (folder / "image.csv").write_text(f"{header}\n{rows}")
    for kind, job in JOBS.items():
        path = folder / f"{kind}.yaml"
        path.write_text(
            f"name: {kind}\nmodel: {kind}\n{job}\nfit: {{batch_size: 8, epochs: 2, validation_split: 0.2}}\n"
        )
        train_and_publish(load_job(str(path), []), folder / "models", folder / "cache", folder / "runs")
    return folder


@pytest.mark.parametrize("kind", JOBS)
@pytest.mark.parametrize("format", ARTIFACTS)
def test_a_restored_model_answers_as_the_saved_one(
    trained: Path, tmp_path: Path, kind: str, format: model_files.Format
) -> None:
    path = model_files.save(
        find(kind, trained / "runs"), format, tmp_path / ARTIFACTS[format], trained / "cache"
    )
    restored = model_files.restore(path)
    result = model_files.check(restored, trained / "cache")
    if format == "json":
        assert not result["equal"]
        return
    assert result["equal"]
    assert result["examples"] > 10
    # And as the version that was published from the same run.
    card = json.loads((trained / f"models/{kind}/1/assets.extra/model_card.json").read_text())
    assert result["accuracy"] == card["metrics"]["test"]["accuracy"]
    assert result["loss"] == pytest.approx(card["metrics"]["test"]["loss"], rel=1e-4)
    saved = restore_run(find(kind, trained / "runs")).model.optimizer
    optimizer = restored.fitted.model.optimizer
    assert int(optimizer.iterations) == int(saved.iterations) > 0
    # Of the optimizer's moments Keras 3 reads none back from the legacy format (docs/from-the-tutorial.md).
    if format != "h5":
        for ours, theirs in zip(optimizer.variables, saved.variables, strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_an_architecture_comes_back_without_weights(trained: Path, tmp_path: Path) -> None:
    path = model_files.save(
        find("image", trained / "runs"), "json", tmp_path / "model.json", trained / "cache"
    )
    layers = model_files.restore(path).fitted.model.layers
    assert [layer.name for layer in layers] == [
        layer["name"] for layer in json.loads(path.read_text())["config"]["layers"]
    ]


PLAIN_KERAS = """
import sys
import keras

for path in sys.argv[1:]:
    from_json = path.endswith(".json")
    model = keras.models.model_from_json(open(path).read()) if from_json else keras.models.load_model(path)
    print(path, type(model.optimizer).__name__)
assert not any(name.startswith("atelier") for name in sys.modules)
"""


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_plain_keras_loads_what_is_saved(trained: Path, tmp_path: Path, schedule: str) -> None:
    """Neither our classes nor our package are needed: the optimizer's schedule is one of Keras's own."""
    job = tmp_path / "warm.yaml"
    data = f"data: {{csv: {trained / 'table.csv'}}}"
    job.write_text(
        f"name: warm\nmodel: warm\n{data}\nnetwork: {{hidden: [4]}}\n"
        f"optimizer: {{schedule: {schedule}, warmup: 0.4}}\nfit: {{batch_size: 8, epochs: 2}}\n"
    )
    places = ["--data", tmp_path / "cache", "--runs", tmp_path / "runs"]
    done = trainer("train", job, "--models", tmp_path / "models", *places)
    assert done.returncode == 0, done.stderr
    formats: tuple[model_files.Format, ...] = ("keras", "h5", "json")
    paths = [
        model_files.save(
            find("warm", tmp_path / "runs"), format, tmp_path / f"m.{format}", tmp_path / "cache"
        )
        for format in formats
    ]
    loaded = subprocess.run(
        [sys.executable, "-c", PLAIN_KERAS, *paths], capture_output=True, text=True, timeout=240, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
    # An architecture names its optimizer, too: the schedule must be known in all three.
    assert loaded.stdout == "".join(f"{path} Adam\n" for path in paths)


def test_the_commands_prove_equal_predictions(trained: Path, tmp_path: Path) -> None:
    places = ["--data", trained / "cache", "--runs", trained / "runs"]
    done = trainer("save", "table", "--format", "keras", "--to", tmp_path / "m.keras", *places)
    assert done.returncode == 0, done.stderr
    done = trainer("restore", "--from", tmp_path / "m.keras", "--evaluate", "--data", trained / "cache")
    assert done.returncode == 0, done.stderr
    assert "largest difference from the saved ones 0;" in done.stderr
    assert json.loads(done.stdout)["equal"] is True


def test_a_model_that_answers_otherwise_is_refused(trained: Path, tmp_path: Path) -> None:
    """The sidecar of one run beside the weights of another: what a mixed-up folder looks like."""
    import keras

    run = find("table", trained / "runs")
    path = model_files.save(run, "keras", tmp_path / "m.keras", trained / "cache")
    model = keras.models.load_model(path)
    model.layers[-1].set_weights([value + 1 for value in model.layers[-1].get_weights()])
    model.save(path)
    done = trainer("restore", "--from", path, "--evaluate", "--data", trained / "cache")
    assert done.returncode == 2
    assert "does not answer as the model it was saved from" in done.stderr


@pytest.mark.parametrize("format", ARTIFACTS)
def test_a_damaged_artifact_is_one_clear_error(
    trained: Path, tmp_path: Path, format: model_files.Format
) -> None:
    path = model_files.save(
        find("table", trained / "runs"), format, tmp_path / ARTIFACTS[format], trained / "cache"
    )
    victim = path.with_name(f"{path.name}.index") if format == "checkpoint" else path
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    with pytest.raises(RunError, match="is damaged"):
        model_files.restore(path)
    if format == "json":
        path.write_text("{}")
        with pytest.raises(RunError, match="is damaged"):
            model_files.restore(path)
    model_files._sidecar(path).write_bytes(b"no zip")
    with pytest.raises(RunError, match="is damaged"):
        model_files.restore(path)
    model_files._sidecar(path).unlink()
    with pytest.raises(RunError, match="is missing"):
        model_files.restore(path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["save", "nothing", "--format", "keras", "--to", "m.keras"], "No finished run 'nothing'"),
        (["save", "table", "--format", "pickle", "--to", "m"], "expected one of weights, checkpoint"),
        (["save", "table", "--format", "keras", "--to", "m.h5"], "is named *.keras"),
        (["save", "table", "--format", "h5", "--to", "m.weights.h5"], "is named *.h5"),
        (["save", "table", "--format", "keras"], "Missing option '--to'"),
        (["save", "table", "--format", "litert", "--to", "m.onnx"], "is named *.tflite"),
        (["restore", "--from", "m.onnx"], "is for another runtime"),
        (["restore", "--from", "nowhere.keras"], "nowhere.keras.atelier.npz is missing"),
    ],
)
def test_a_users_mistake_is_one_message(
    trained: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = trainer(*arguments, environ={"ATELIER_RUNS": str(trained / "runs")}, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


PORTABLE = {"onnx": "model.onnx", "litert": "model.tflite"}


@pytest.mark.parametrize("kind", ["table", "image"])
@pytest.mark.parametrize("format", PORTABLE)
def test_another_runtime_answers_as_the_published_version(
    trained: Path, tmp_path: Path, kind: str, format: portable.Portable
) -> None:
    """Read here by the runtime itself: names, types and any number of rows are those of serving_default."""
    path = tmp_path / PORTABLE[format]
    difference = portable.save(find(kind, trained / "runs"), format, path, trained / "cache")
    assert difference <= 1e-5
    with np.load(trained / f"models/{kind}/1/assets.extra/golden.npz") as golden:
        inputs = {name[7:]: golden[name][:3] for name in golden if name.startswith("inputs/")}
        wanted = {name[8:]: golden[name][:3] for name in golden if name.startswith("outputs/")}
    answers: dict[str, np.ndarray]
    if format == "onnx":
        import onnx
        import onnxruntime

        onnx.checker.check_model(onnx.load(path), full_check=True)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        answers = dict(zip(names, session.run(names, inputs), strict=True))
    else:
        from ai_edge_litert.interpreter import Interpreter

        answers = Interpreter(str(path)).get_signature_runner("serving_default")(**inputs)
    assert set(answers) == set(wanted)
    np.testing.assert_allclose(answers["probabilities"], wanted["probabilities"], atol=1e-5)
    np.testing.assert_array_equal(answers["class_id"], wanted["class_id"])
    np.testing.assert_array_equal(answers["label"].astype("S"), wanted["label"])


@pytest.mark.parametrize("kind", ["text", "embedding"])
@pytest.mark.parametrize("format", PORTABLE)
def test_text_is_refused_with_advice_and_leaves_nothing(
    trained: Path, tmp_path: Path, kind: str, format: portable.Portable
) -> None:
    with pytest.raises(FormatRefused, match=r"inputs of text \(text\) .* Serve the SavedModel, or take"):
        portable.save(find(kind, trained / "runs"), format, tmp_path / PORTABLE[format], trained / "cache")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", ["numbers", "classes", "names", "nothing"])
def test_a_file_that_answers_otherwise_never_appears(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """No converter errs on demand, so the runtime's answers are changed on their way."""

    def run(content: bytes, inputs: Mapping[str, np.ndarray]) -> portable.Arrays:
        answers = onnx_runtime.run(content, inputs)
        if wrong == "numbers":
            answers["probabilities"] = answers["probabilities"] + np.float32(2e-4)
        elif wrong == "nothing":
            answers["probabilities"] = np.full_like(answers["probabilities"], np.nan)
        elif wrong == "classes":
            answers["class_id"] = 1 - answers["class_id"]
        else:
            answers["other"] = answers.pop("label")
        return answers

    chosen = dataclasses.replace(portable.FORMATS["onnx"], run=run)
    monkeypatch.setitem(portable.FORMATS, "onnx", chosen)
    with pytest.raises(FormatRefused, match="No file was written"):
        portable.save(find("table", trained / "runs"), "onnx", tmp_path / "m.onnx", trained / "cache")
    assert list(tmp_path.iterdir()) == []


def test_the_extras_are_named_where_they_are_missing(trained: Path, tmp_path: Path) -> None:
    environ = without_packages(tmp_path / "blocked", "onnxruntime", "tf2onnx")
    places = ["--data", trained / "cache", "--runs", trained / "runs"]
    done = trainer("save", "table", "--format", "onnx", "--to", tmp_path / "m.onnx", *places, environ=environ)
    assert done.returncode == 2
    assert "needs onnxruntime, tf2onnx: pip install 'atelier-trainer[onnx]'" in done.stderr


def test_the_command_saves_for_another_runtime(trained: Path, tmp_path: Path) -> None:
    places = ["--data", trained / "cache", "--runs", trained / "runs"]
    done = trainer("save", "image", "--format", "litert", "--to", tmp_path / "m.tflite", *places)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["path"] == str(tmp_path / "m.tflite")
    # What converters say to themselves is not shown.
    assert len(done.stderr.splitlines()) == 1
    assert "the golden examples come back" in done.stderr
