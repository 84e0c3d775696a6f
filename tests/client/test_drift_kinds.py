"""Drift of texts and tables: what has changed is found, and named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.support.client_command import command
from tests.support.drift_models import publish
from tests.support.request_logs import write_log


def _longer(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    texts = np.empty(1000, object)
    texts[:] = [text + b" quite other words" for text in inputs["text"][:1000]]
    return {"text": texts}


def _shifted(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"features": inputs["features"][:1000] + np.array([0, 1, 0], np.float32)}


def _moved(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    cities = inputs["city"][:1000].copy()
    cities[:300] = b"Linz"
    ages = inputs["age"][:1000].copy()
    ages[::3] = np.nan
    return {"age": ages, "city": cities}


@pytest.mark.parametrize(
    ("kind", "change", "said", "columns"),
    [
        ("texts", _longer, "longer texts", {"words", "unknown words"}),
        ("numbers", _shifted, "mean b 4.99 -> 6", {"b"}),
        ("people", _moved, "share of others", {"city", "age (missing)"}),
    ],
)
def test_what_has_changed_is_named(
    tmp_path: Path, kind: str, change: object, said: str, columns: set[str]
) -> None:
    published = publish(tmp_path / "models", kind)
    sent = {
        name: np.array([item.encode() if isinstance(item, str) else item for item in array.tolist()], object)
        if array.dtype == object
        else array
        for name, array in published.inputs.items()
    }
    for name, inputs in (
        ("same", {key: array[:1000] for key, array in sent.items()}),
        ("other", change(sent)),  # type: ignore[operator]
    ):
        write_log(tmp_path / name, inputs, published.answers(inputs), model=kind)
    places = ["--model", kind, "--models", tmp_path / "models", "--reports", tmp_path / "reports"]
    same = command("drift", "--log", tmp_path / "same", *places)
    assert same.returncode == 0, same.stdout + same.stderr
    done = command("drift", "--log", tmp_path / "other", *places)
    assert done.returncode == 1, done.stdout + done.stderr
    document = json.loads((tmp_path / "reports" / "drift.json").read_text())
    assert said in document["sentence"]
    changed = {
        column["name"]
        for column in document["windows"][0]["skew"]["columns"]
        if column["verdict"] == "changed" and column["group"] != "output"
    }
    assert changed == columns


def test_the_consoles_feedback_about_rows_is_found_in_the_log(tmp_path: Path) -> None:
    published = publish(tmp_path / "models", "people")
    cities = np.array([city.encode() for city in published.inputs["city"][:500].tolist()], object)
    sent = {"age": published.inputs["age"][:500], "city": cities}
    answers = published.answers(sent)
    write_log(tmp_path / "log", sent, answers, model="people", batch=10)
    lines = ['"age","city","label","time","version","predicted"']
    for row in range(200):
        age = sent["age"][row]
        cells = ["" if np.isnan(age) else f"{age:.9g}", published.inputs["city"][row]]
        said = answers["label"][row].decode()
        right = said if row % 4 else {"class A": "class B", "class B": "class A"}[said]
        lines.append(",".join(f'"{cell}"' for cell in [*cells, right, "2026-11-30T16:00:00Z", "1", said]))
    (tmp_path / "people.csv").write_text("\n".join(lines) + "\n")
    places = ["--model", "people", "--models", tmp_path / "models", "--reports", tmp_path / "reports"]
    command("drift", "--log", tmp_path / "log", "--feedback", tmp_path / "people.csv", *places)
    document = json.loads((tmp_path / "reports" / "drift.json").read_text())
    accuracy = document["windows"][0]["accuracy"]
    # Rows without an age differ in their city alone, and so one label may stand for several requests.
    assert accuracy["labelled"] >= 200
    assert accuracy["realised"] == pytest.approx(0.75, abs=0.1)


def test_values_that_are_not_finite_are_counted_and_named(tmp_path: Path) -> None:
    published = publish(tmp_path / "models", "people")
    inputs = {name: values[:1200] for name, values in published.inputs.items()}
    outputs = published.answers(inputs)
    inputs["age"] = np.full(1200, np.inf, np.float32)
    outputs["probabilities"] = np.full_like(outputs["probabilities"], np.nan)
    folder = tmp_path / "log"
    write_log(folder, inputs, outputs, model="people")
    done = command(
        "drift", "--log", folder, "--models", tmp_path / "models", "--model", "people", "--reports", tmp_path
    )
    assert done.returncode == 1, done.stderr
    assert "confidence: 1,200 values, age: 1,200 values" in done.stderr
    assert "nothing to compare" in done.stdout
    assert "share of missing" in done.stdout


def test_a_number_of_any_size_takes_four_digits(tmp_path: Path) -> None:
    published = publish(tmp_path / "models", "people")
    inputs = {name: values[:1000] for name, values in published.inputs.items()}
    outputs = published.answers(inputs)
    inputs["age"] = np.full(1000, 1e37, np.float32)
    write_log(tmp_path / "log", inputs, outputs, model="people")
    places = ["--models", tmp_path / "models", "--model", "people", "--reports", tmp_path]
    done = command("drift", "--log", tmp_path / "log", *places)
    assert done.returncode == 1, done.stderr
    for text in (done.stdout, (tmp_path / "drift.html").read_text()):
        assert "e+3" in text
        assert not re.search(r"\d{20}", text)
