"""Binary and multi-class models of tables, text and several inputs, evaluated by the command on files of examples."""

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


def sigmoid(inputs: Any) -> Any:
    return {"p": 1 / (1 + np.exp(-inputs["features"].sum(axis=1, keepdims=True)))}


def by_length(inputs: Any) -> Any:
    long = np.array([[len(text) > 5] for text in inputs["text"]], np.float32)
    return {"probabilities": np.concatenate([1 - long, long], axis=1), "score": long}


def by_age(inputs: Any) -> Any:
    old = 1 / (1 + np.exp(-(inputs["age"] - 40) / 10))
    return {"old": old.astype(np.float32)}


@pytest.fixture(scope="module")
def target() -> Iterator[Any]:
    memory = InMemoryServer()
    memory.serve(
        "table", sigmoid, inputs={"features": ("float32", (-1, 2))}, outputs={"p": ("float32", (-1, 1))}
    )
    memory.serve(
        "reviews",
        by_length,
        inputs={"text": ("string", (-1,))},
        outputs={"probabilities": ("float32", (-1, 2)), "score": ("float32", (-1, 1))},
    )
    memory.serve(
        "people",
        by_age,
        inputs={"age": ("int64", (-1,)), "name": ("string", (-1,))},
        outputs={"old": ("float32", (-1,))},
    )
    memory.serve(
        "logits",
        lambda inputs: {"y": inputs["features"] * 3},
        inputs={"features": ("float32", (-1, 2))},
        outputs={"y": ("float32", (-1, 2))},
    )
    memory.serve(
        "unknown",
        lambda inputs: {"y": inputs["features"]},
        inputs={"features": ("float32", (-1, 2))},
        outputs={"y": ("float32", (-1, -1))},
    )
    with small_server(memory) as running:
        yield running.address


def evaluate(target: str, model: str, file: Any, reports: Path, *more: Any) -> Any:
    return command(
        "evaluate",
        file,
        "--target",
        target,
        "--model",
        model,
        "--models",
        reports,
        "--reports",
        reports,
        *more,
    )


def test_a_sigmoid_of_a_table_is_a_binary_classifier(target: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    features, groups = random.normal(size=(3000, 2)).round(6), random.integers(0, 3, 3000)
    labels = (features.sum(axis=1) + random.normal(size=3000) > 0).astype(int)
    lines = [
        f"{a},{b},{'yes' if y else 'no'},g{g}" for (a, b), y, g in zip(features, labels, groups, strict=True)
    ]
    (tmp_path / "data.csv").write_text("\n".join(["a,b,bought,group", *lines]))
    done = evaluate(
        target, "table", tmp_path / "data.csv", tmp_path, "--class-names", "no,yes", "--label-column", "bought",
        "--slice", "group", "--slice", "a > 1 and group != 'g0'", "--fail-under", "roc_auc=0.5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no golden examples" in done.stderr
    report = json.loads((tmp_path / "evaluation.json").read_text())
    scores = sigmoid({"features": features.astype(np.float32)})["p"][:, 0]
    metrics = report["metrics"]
    assert metrics["accuracy"] == pytest.approx(sk.accuracy_score(labels, scores > 0.5))
    assert metrics["f1"] == pytest.approx(sk.f1_score(labels, scores > 0.5))
    assert metrics["roc_auc"] == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-6)
    assert metrics["pr_auc"] == pytest.approx(sk.average_precision_score(labels, scores), abs=1e-6)
    slices = {row["name"]: row for row in report["slices"]}
    assert set(slices) == {"group = g0", "group = g1", "group = g2", "a > 1 and group != 'g0'"}
    chosen = (features[:, 0] > 1) & (groups != 0)
    assert slices["a > 1 and group != 'g0'"]["examples"] == chosen.sum()
    right = (scores > 0.5) == labels
    assert slices["group = g1"]["metrics"]["accuracy"] == pytest.approx(right[groups == 1].mean())
    page = (tmp_path / "evaluation.html").read_text()
    assert "precision of yes" in page
    assert "features: " in page


def test_text_of_a_csv(target: str, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text('label,text\n1,"a long, long text"\n0,short\n0,"not <b>short</b>"\n')
    done = evaluate(target, "reviews", tmp_path / "data.csv", tmp_path, "--slice", "len(text) > 15")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "evaluation.json").read_text())
    assert report["confusion_matrix"] == [[1, 1], [0, 1]]
    assert report["slices"][0]["examples"] == 2
    assert "not &lt;b&gt;short&lt;/b&gt;" in (tmp_path / "evaluation.html").read_text()


def test_several_inputs_are_columns_of_their_names(target: str, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("name,age,label\nAnn,70,1\nBob,10,0\nCid,45,0\n")
    done = evaluate(target, "people", tmp_path / "data.csv", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["confusion_matrix"] == [[1, 1], [0, 1]]
    (tmp_path / "data.csv").write_text("age,label\n70,1\n")
    done = evaluate(target, "people", tmp_path / "data.csv", tmp_path, "--json")
    assert done.returncode == 2
    assert "has no column for the input name: string [N]" in done.stderr


@pytest.mark.parametrize(
    ("model", "text", "said"),
    [
        ("logits", "a,b,label\n1,2,0\n", "is no probability for each class: its values add up to 9"),
        ("unknown", "a,b,label\n1,2,0\n", "How many classes the model has is not known"),
        ("table", "a,b,label\n", "holds no examples"),
        ("table", "a,b,label\n1,2,2\n", "expected a number from 0 to 1"),
        ("nix", "a,b,label\n1,2,2\n", "nix"),
    ],
)
def test_a_model_that_does_not_fit_is_explained(
    target: str, tmp_path: Path, model: str, text: str, said: str
) -> None:
    (tmp_path / "data.csv").write_text(text)
    done = evaluate(target, model, tmp_path / "data.csv", tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
