"""Models with several outputs, several classes a row, or an answer for each step: which output is measured, and how."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client.testing import InMemoryServer
from sklearn import metrics as sk

from tests.support.client_command import command
from tests.support.small_server import small_server

TAGS = ("beach", "sea", "dog")
STEPS = 5


def sigmoid(values: Any) -> Any:
    return (1 / (1 + np.exp(-values))).astype(np.float32)


def several(inputs: Any) -> Any:
    """Three heads on one input: two classes, a number, tags."""
    features = inputs["features"]
    positive = sigmoid(features[:, :1])
    return {
        "kind": np.concatenate([1 - positive, positive], axis=1),
        "price": (features.sum(axis=1) * 100).astype(np.float32),
        "tags": sigmoid(features[:, :3] * 2 - 0.5),
        "id": np.arange(len(features)),
    }


def steps(inputs: Any) -> Any:
    """For each of the steps three classes and a number."""
    features = inputs["features"][:, :STEPS]
    scores = np.exp(np.stack([features, -features, features * 0], axis=2))
    return {
        "word_class": (scores / scores.sum(axis=2, keepdims=True)).astype(np.float32),
        "height": (features * 2)[..., None].astype(np.float32),
    }


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    memory = InMemoryServer()
    table = {"features": ("float32", (-1, 6))}
    memory.serve(
        "several",
        several,
        inputs=table,
        outputs={
            "kind": ("float32", (-1, 2)),
            "price": ("float32", (-1,)),
            "tags": ("float32", (-1, 3)),
            "id": ("int64", (-1,)),
        },
    )
    memory.serve(
        "steps",
        steps,
        inputs=table,
        outputs={"word_class": ("float32", (-1, STEPS, 3)), "height": ("float32", (-1, STEPS, 1))},
    )
    memory.serve(
        "wild",
        lambda inputs: {
            "logits": inputs["features"] * 9,
            "nothing": np.full(len(inputs["features"]), np.nan, np.float32),
        },
        inputs=table,
        outputs={"logits": ("float32", (-1, 6)), "nothing": ("float32", (-1,))},
    )
    with small_server(memory) as running:
        yield running.address


@pytest.fixture(scope="module")
def rows() -> Any:
    return np.random.default_rng(3).normal(size=(400, 6)).astype(np.float32)


def evaluate(target: str, model: str, file: Path, *more: object) -> Any:
    folder = file.parent
    where = ["--target", target, "--model", model, "--models", folder, "--reports", folder / "reports"]
    return command("evaluate", file, *where, *more)


def save(folder: Path, **arrays: Any) -> Path:
    path = folder / "examples.npz"
    np.savez(path, **arrays)
    return path


def report(folder: Path) -> Any:
    return json.loads((folder / "reports/evaluation.json").read_text())


def test_several_outputs_that_could_be_meant_are_named(target: str, tmp_path: Path, rows: Any) -> None:
    done = evaluate(target, "several", save(tmp_path, features=rows, labels=np.zeros(400, int)))
    assert done.returncode == 2
    assert "is not clear; give --output NAME" in done.stderr
    assert "Floats are: kind, price, tags." in done.stderr


def test_each_output_is_measured_when_it_is_named(target: str, tmp_path: Path, rows: Any) -> None:
    answers = several({"features": rows})
    random = np.random.default_rng(4)

    labels = (rows[:, 0] + random.normal(size=400) > 0).astype(int)
    done = evaluate(target, "several", save(tmp_path, features=rows, labels=labels), "--output", "kind")
    assert done.returncode == 0, done.stderr
    found = report(tmp_path)
    assert found["output"] == "kind"
    assert found["metrics"]["accuracy"] == sk.accuracy_score(labels, answers["kind"].argmax(axis=1))
    assert "price: float32 [N] was not measured" in done.stderr

    price = rows.sum(axis=1) * 100 + random.normal(size=400) * 20
    path = save(tmp_path, features=rows, labels=price)
    done = evaluate(
        target, "several", path, "--output", "price", "--task", "regression", "--slice", "error > 0"
    )
    assert done.returncode == 0, done.stderr
    found = report(tmp_path)
    predicted = answers["price"].astype(np.float64)
    truth = price.astype(np.float64)
    assert found["metrics"]["mae"] == sk.mean_absolute_error(truth, predicted)
    assert found["metrics"]["r2"] == sk.r2_score(truth, predicted)
    high = predicted > truth
    assert found["slices"][0]["examples"] == high.sum()
    assert found["slices"][0]["metrics"]["mae"] == sk.mean_absolute_error(truth[high], predicted[high])


def tags_of(rows: Any) -> Any:
    return (rows[:, :3] * 2 + np.random.default_rng(5).normal(size=(len(rows), 3)) > 0.5).astype(int)


MULTI = ("--output", "tags", "--task", "multi_label", "--class-names", ",".join(TAGS))


def test_multi_label_metrics_are_scikit_learns(target: str, tmp_path: Path, rows: Any) -> None:
    labels = tags_of(rows)
    done = evaluate(
        target, "several", save(tmp_path, features=rows, labels=labels), *MULTI, "--slice", "labels"
    )
    assert done.returncode == 0, done.stderr
    found = report(tmp_path)
    guess = (several({"features": rows})["tags"] >= 0.5).astype(int)
    assert found["metrics"]["subset_accuracy"] == sk.accuracy_score(labels, guess)
    for kind in ("micro", "macro"):
        for name, metric in (
            ("precision", sk.precision_score),
            ("recall", sk.recall_score),
            ("f1", sk.f1_score),
        ):
            wanted = metric(labels, guess, average=kind, zero_division=0)
            assert found["metrics"][f"{kind}_{name}"] == pytest.approx(wanted, rel=1e-14)
            low, high = found["intervals"][f"{kind}_{name}"]
            assert low < wanted < high
    precision, recall, f1, support = sk.precision_recall_fscore_support(labels, guess, zero_division=0)
    for number, row in enumerate(found["per_class"]):
        assert row["label"] == TAGS[number]
        assert row["precision"] == precision[number]
        assert row["recall"] == recall[number]
        assert row["f1"] == pytest.approx(f1[number], rel=1e-14)
        assert row["support"] == support[number]
    exact = labels.sum(axis=1) == 2
    [two] = [row for row in found["slices"] if row["name"] == "labels = 2"]
    assert two["metrics"]["subset_accuracy"] == sk.accuracy_score(labels[exact], guess[exact])
    page = (tmp_path / "reports/evaluation.html").read_text()
    assert "all classes together" in page
    assert "beach" in done.stdout


@pytest.mark.parametrize("form", ["columns", "texts", "lists", "named columns"])
def test_every_form_of_multi_label_labels_gives_the_same(
    target: str, tmp_path: Path, rows: Any, form: str
) -> None:
    labels = tags_of(rows)
    first = evaluate(target, "several", save(tmp_path, features=rows, labels=labels), *MULTI)
    assert first.returncode == 0, first.stderr
    wanted = report(tmp_path)["metrics"]
    names = [[name for name, has in zip(TAGS, row, strict=True) if has] for row in labels]
    more: tuple[str, ...] = ()
    if form == "lists":
        import pyarrow as pa
        from pyarrow import parquet

        path = tmp_path / "examples.parquet"
        parquet.write_table(pa.table({"features": rows.tolist(), "labels": names}), path)
    else:
        path = tmp_path / "examples.csv"
        header = [f"f{number}" for number in range(6)]
        lines = [[repr(float(value)) for value in row] for row in rows]
        if form == "texts":
            header.append("label")
            lines = [[*line, "|".join(has)] for line, has in zip(lines, names, strict=True)]
        else:
            columns = TAGS if form == "columns" else ("x", "y", "z")
            more = ("--label-column", "x, y, z") if form == "named columns" else ()
            header += columns
            lines = [[*line, *map(str, row)] for line, row in zip(lines, labels, strict=True)]
        path.write_text("\n".join(map(",".join, [header, *lines])) + "\n")
    done = evaluate(target, "several", path, *MULTI, *more)
    assert done.returncode == 0, done.stderr
    assert report(tmp_path)["metrics"] == wanted


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (
            np.zeros([400, 2], int),
            "expected 3 values of 0 or 1 a row, one for each class of the model, got [400, 2]",
        ),
        (np.full([400, 3], 2), "row 1, column labels: expected 0 or 1, whether the row has the class, got 2"),
        (np.zeros(400), "expected 3 values of 0 or 1 a row"),
        (np.full([400, 3], np.nan), "a finite number"),
        (np.array(["beach|cat"] * 400), "'cat' is none of the classes beach, sea, dog"),
    ],
)
def test_wrong_multi_label_labels_are_named(
    target: str, tmp_path: Path, rows: Any, labels: Any, said: str
) -> None:
    done = evaluate(target, "several", save(tmp_path, features=rows, labels=labels), *MULTI)
    assert done.returncode == 2
    assert said in done.stderr


def test_columns_for_some_classes_only_are_named(target: str, tmp_path: Path) -> None:
    path = tmp_path / "examples.csv"
    path.write_text("a,b,c,d,e,f,beach,sea\n1,2,3,4,5,6,0,1\n")
    done = evaluate(target, "several", path, *MULTI)
    assert done.returncode == 2
    assert "has columns for the classes beach, sea and none for dog" in done.stderr


def test_names_of_another_number_of_classes_are_refused(target: str, tmp_path: Path, rows: Any) -> None:
    path = save(tmp_path, features=rows, labels=tags_of(rows))
    done = evaluate(target, "several", path, *MULTI[:-1], "beach,sea")
    assert done.returncode == 2
    assert "but there are 2 classes" in done.stderr


def test_steps_are_measured_one_by_one(target: str, tmp_path: Path, rows: Any) -> None:
    random = np.random.default_rng(6)
    answers = steps({"features": rows})
    labels = np.where(random.random([400, STEPS]) < 0.7, answers["word_class"].argmax(axis=2), 2)
    path = save(tmp_path, features=rows, labels=labels, place=np.array(["left", "right"] * 200))
    done = evaluate(
        target, "steps", path, "--output", "word_class", "--slice", "place", "--slice", "row < 10"
    )
    assert done.returncode == 0, done.stderr
    found = report(tmp_path)
    guess = answers["word_class"].argmax(axis=2)
    assert (found["dataset"]["examples"], found["dataset"]["elements"]) == (400, 400 * STEPS)
    assert found["metrics"]["accuracy"] == sk.accuracy_score(labels.ravel(), guess.ravel())
    parts = {row["name"]: row for row in found["slices"]}
    assert parts["place = left"]["examples"] == 200 * STEPS
    assert parts["place = left"]["metrics"]["accuracy"] == (labels == guess)[::2].mean()
    assert parts["row < 10"]["metrics"]["accuracy"] == (labels == guess)[:10].mean()
    assert "step" in (tmp_path / "reports/evaluation.html").read_text()

    heights = rows[:, :STEPS] * 2.0 + random.normal(size=[400, STEPS])
    path = save(tmp_path, features=rows, labels=heights)
    done = evaluate(target, "steps", path, "--output", "height", "--task", "regression")
    assert done.returncode == 0, done.stderr
    predicted = answers["height"][..., 0].astype(np.float64)
    found = report(tmp_path)["metrics"]
    assert found["mae"] == sk.mean_absolute_error(heights.ravel(), predicted.ravel())


@pytest.mark.parametrize(
    ("model", "output", "task", "labels", "said"),
    [
        (
            "steps",
            "word_class",
            "classification",
            np.zeros([400, 4], int),
            "answers [400, 5, 3], so the labels",
        ),
        ("steps", "word_class", "classification", np.zeros(400, int), "the labels would be [400, 5]"),
        (
            "steps",
            "height",
            "regression",
            np.zeros([400, 4]),
            "the model answers [400, 5, 1], and a number for each",
        ),
        (
            "several",
            "price",
            "regression",
            np.zeros([400, 2]),
            "the model answers [400], and a number for each",
        ),
        (
            "several",
            "kind",
            "classification",
            np.zeros([400, 2], int),
            "Several classes a row: --task multi_label",
        ),
        (
            "several",
            "id",
            "regression",
            np.zeros(400),
            "The output id: int64 [N] is no number that could be measured",
        ),
        ("several", "absent", "regression", np.zeros(400), "absent"),
        (
            "wild",
            "logits",
            "multi_label",
            np.zeros([400, 6], int),
            "which is no probability. If they are logits",
        ),
        ("wild", "logits", "classification", np.zeros(400, int), "--task regression"),
        ("wild", "nothing", "regression", np.zeros(400), "of row 1 is nan: expected a finite number"),
    ],
)
def test_what_cannot_be_measured_is_said(
    target: str, tmp_path: Path, rows: Any, model: str, output: str, task: str, labels: Any, said: str
) -> None:
    path = save(tmp_path, features=rows, labels=labels)
    done = evaluate(target, model, path, "--output", output, "--task", task)
    assert done.returncode == 2
    assert said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_an_imported_models_card_names_output_and_task(target: str, tmp_path: Path, rows: Any) -> None:
    """Its card may have no test examples, and says what is measured (docs/contracts.md, section 1)."""
    folder = tmp_path / "several/1/assets.extra"
    folder.mkdir(parents=True)
    card: dict[str, Any] = {
        "model": "several",
        "job": None,
        "task": "multi_label",
        "output": "tags",
        "class_names": list(TAGS),
        "input": {"kind": "table", "shape": [6], "columns": []},
        "data": {"name": "imported", "test": {"examples": 0, "sha256": "", "file": None}},
        "metrics": {"test": {}},
    }
    (folder / "model_card.json").write_text(json.dumps(card))
    labels = tags_of(rows)
    done = evaluate(target, "several", save(tmp_path, features=rows, labels=labels))
    assert done.returncode == 0, done.stderr
    assert report(tmp_path)["task"] == "multi_label"
    where = ["--target", target, "--model", "several", "--models", tmp_path, "--reports", tmp_path]
    done = command("evaluate", *where)
    assert done.returncode == 2
    assert "names no test examples. Give a FILE" in done.stderr
    card["task"] = "guessing"
    (folder / "model_card.json").write_text(json.dumps(card))
    done = command("evaluate", *where)
    assert "the key task: expected one of classification, regression, multi_label" in done.stderr


def test_two_versions_of_a_multi_label_model_are_compared(tmp_path: Path, rows: Any) -> None:
    memory = InMemoryServer()
    table = {"features": ("float32", (-1, 6))}
    labels = tags_of(rows)

    def tags(noise: float, version: int) -> Any:
        shift = (np.random.default_rng(version).normal(size=3) * noise).astype(np.float32)
        return lambda inputs: {"probabilities": sigmoid(inputs["features"][:, :3] * 2 - 0.5 + shift)}

    for version, noise in ((1, 3.0), (2, 0.1)):
        memory.serve(
            "tags",
            tags(noise, version),
            inputs=table,
            outputs={"probabilities": ("float32", (-1, 3))},
            version=version,
        )
    path = save(tmp_path, features=rows, labels=labels)
    with small_server(memory) as running:
        where = ["--target", running.address, "--model", "tags", "--models", tmp_path, "--reports", tmp_path]
        done = command("diff", 1, 2, path, *where, "--task", "multi_label", "--class-names", ",".join(TAGS))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "diff.json").read_text())
    assert found["better"] == "b"
    assert "subset accuracy" in found["verdict"]
    assert "wrong in both" in (tmp_path / "diff.html").read_text()
