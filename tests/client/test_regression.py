"""Models that predict a number, trained on two real tables and served: evaluate, diff, gate."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client import Client
from atelier_client.data.open import open_reader
from atelier_client.evaluation.progress import Progress
from atelier_client.evaluation.settings import Settings
from atelier_client.gate.measure import Side, measure
from atelier_client.gate.rules import Rules
from atelier_client.gate.verdict import judge
from atelier_client.request_log import Recorder
from sklearn import metrics as sk

from tests.support.client_command import command
from tests.support.regression_tables import DIABETES, LABELS, LINNERUD, publish, table, write
from tests.support.server import RunningServer, running_server

ERRORS = {
    "mae": sk.mean_absolute_error,
    "rmse": sk.root_mean_squared_error,
    "r2": sk.r2_score,
    "median_absolute_error": sk.median_absolute_error,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Diabetes: version 1 is hardly trained, version 2 is; linnerud: version 1."""
    folder = tmp_path_factory.mktemp("served")
    publish(DIABETES, folder, epochs=1, batch_size=353)
    publish(DIABETES, folder)
    publish(LINNERUD, folder)
    entries = "".join(
        f'config {{ name: "{name}" base_path: "{folder}/models/{name}" model_platform: "tensorflow" '
        "model_version_policy { all {} } }\n"
        for name in (DIABETES, LINNERUD)
    )
    (folder / "models/models.config").write_text(f"model_config_list {{\n{entries}}}\n")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    with running_server(
        folder / "models", f"--model_config_file={folder}/models/models.config", model=DIABETES
    ) as running:
        yield running


def ask(name: str, server: RunningServer, folder: Path, *more: object, model: str = DIABETES) -> Any:
    where = [
        "--target",
        server.grpc,
        "--model",
        model,
        "--models",
        folder / "models",
        "--data",
        folder / "data",
    ]
    return command(name, *where, "--reports", folder / "reports", *more)


def report(folder: Path, name: str = "evaluation") -> Any:
    return json.loads((folder / f"reports/{name}.json").read_text())


def predicted(server: RunningServer, model: str, version: int | None = None) -> Any:
    _, rows, labels = table(model)
    with Client(server.grpc, model) as client:
        answer = client.predict(rows.astype(np.float32), version=version)["prediction"]
    return labels, answer.astype(np.float64)


def evaluated(server: RunningServer, folder: Path, tmp_path: Path, model: str, *more: object) -> Any:
    """The report on the whole table, read from a CSV of the user's."""
    done = ask("evaluate", server, folder, write(model, tmp_path), *more, model=model)
    assert done.returncode == 0, done.stderr
    return report(folder)


@pytest.mark.parametrize("model", [DIABETES, LINNERUD])
def test_the_metrics_are_scikit_learns_to_the_last_digit(
    server: RunningServer, folder: Path, tmp_path: Path, model: str
) -> None:
    found = evaluated(server, folder, tmp_path, model)
    labels, answers = predicted(server, model)
    assert found["task"] == "regression"
    assert found["metrics"] == {name: float(metric(labels, answers)) for name, metric in ERRORS.items()}
    for name, (low, high) in found["intervals"].items():
        assert low <= found["metrics"][name] <= high
    assert found["dataset"]["examples"] == len(labels)


def test_slices_are_scikit_learns_too(server: RunningServer, folder: Path, tmp_path: Path) -> None:
    found = evaluated(
        server,
        folder,
        tmp_path,
        DIABETES,
        "--slice",
        "sex",
        "--slice",
        "label > 200",
        "--slice",
        "error > 1000",
    )
    labels, answers = predicted(server, DIABETES)
    sex = table(DIABETES)[1][:, 1]
    rows = {row["name"]: row for row in found["slices"]}
    for name, mask in (("sex = 1.0", sex == 1), ("sex = 2.0", sex == 2), ("label > 200", labels > 200)):
        assert rows[name]["examples"] == mask.sum()
        assert rows[name]["metrics"] == {
            key: float(metric(labels[mask], answers[mask])) for key, metric in ERRORS.items()
        }
    assert rows["error > 1000"]["examples"] == 0
    # A lower error is the better one.
    low, high = rows["label > 200"]["intervals"]["mae"]
    overall = found["metrics"]["mae"]
    assert rows["label > 200"]["differs"] == (
        "worse" if low > overall else "better" if high < overall else None
    )


def test_the_trainers_own_numbers_come_back(server: RunningServer, folder: Path) -> None:
    done = ask("evaluate", server, folder)
    assert done.returncode == 0, done.stderr
    found = report(folder)
    assert found["dataset"]["split"] == "test"
    assert set(found["trained"]["metrics"]) == set(ERRORS)
    assert found["trained"]["max_abs_diff"] < 1e-2
    assert found["skew"]["max_scaled_diff"] < 1e-6
    # The table for people and the page.
    assert "rmse" in done.stdout
    page = (folder / "reports/evaluation.html").read_text()
    for words in (
        "Predicted against true",
        "Residuals",
        "Worst rows",
        "mean absolute error",
        "order statistics",
    ):
        assert words in page
    worst = found["worst"][0]
    assert abs(worst["predicted"] - worst["label"]) == max(
        abs(row["predicted"] - row["label"]) for row in found["worst"]
    )
    assert sum(found["residuals"]["counts"]) == found["dataset"]["examples"]


def test_a_contradiction_with_the_trainers_numbers_is_an_error(
    server: RunningServer, folder: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(folder / "models", models)
    path = models / DIABETES / "2/assets.extra/model_card.json"
    card = json.loads(path.read_text())
    card["metrics"]["test"]["mae"] *= 1.01
    path.write_text(json.dumps(card))
    done = ask("evaluate", server, folder, "--models", models)
    assert done.returncode == 1
    assert "On the trainer's own test examples the served model has mae" in done.stderr


def test_bounds_of_errors(server: RunningServer, folder: Path) -> None:
    assert ask("evaluate", server, folder, "--fail-over", "mae=1000", "--fail-under", "r2=-1").returncode == 0
    done = ask("evaluate", server, folder, "--fail-over", "mae=1", "--json")
    assert done.returncode == 1
    assert "over the 1 asked for" in done.stderr
    wrong = {
        ("--fail-under", "mae=3"): "Give --fail-over mae=NUMBER",
        ("--fail-over", "r2=0.5"): "a higher r2 is the better one",
        ("--fail-over", "mea=3"): "Did you mean mae?",
        ("--fail-under", "r2=2"): "r2 lies up to 1",
        ("--fail-under", "accuracy=0.8"): "accuracy is not measured for this model",
    }
    for options, words in wrong.items():
        done = ask("evaluate", server, folder, *options)
        assert done.returncode == 2
        assert words in done.stderr


def rows_with(tmp_path: Path, labels: list[str]) -> Path:
    columns, rows, _ = table(DIABETES)
    path = tmp_path / "labels.csv"
    lines = [",".join([*map(str, row), label]) for row, label in zip(rows.tolist(), labels, strict=False)]
    path.write_text("\n".join([",".join([*columns, LABELS[DIABETES]]), *lines]) + "\n")
    return path


@pytest.mark.parametrize("label", ["high", "nan", "inf", "-inf", ""])
def test_a_label_that_is_no_number_is_named(
    server: RunningServer, folder: Path, tmp_path: Path, label: str
) -> None:
    done = ask("evaluate", server, folder, rows_with(tmp_path, ["10", "20", label, "30"]))
    assert done.returncode == 2
    assert "row 3, column progression: expected" in done.stderr
    assert "a finite number" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_equal_labels_leave_r2_undefined(server: RunningServer, folder: Path, tmp_path: Path) -> None:
    done = ask("evaluate", server, folder, rows_with(tmp_path, ["150"] * 40))
    assert done.returncode == 0, done.stderr
    assert "r2 is not defined: all labels are equal." in done.stdout
    assert "r2" not in report(folder)["metrics"]
    assert "R2 is not defined" in (folder / "reports/evaluation.html").read_text()


def test_an_output_that_is_absent_is_named(server: RunningServer, folder: Path) -> None:
    done = ask("evaluate", server, folder, "--output", "predictions")
    assert done.returncode == 2
    assert "prediction" in done.stderr


def test_a_classifier_is_no_regression_and_says_so(server: RunningServer, folder: Path) -> None:
    done = ask("evaluate", server, folder, "--task", "classification", "--class-names", "0,1")
    assert done.returncode == 2
    assert "the model card says regression" in done.stderr


def test_the_better_version_is_found(server: RunningServer, folder: Path) -> None:
    done = ask("diff", server, folder, 1, 2)
    assert done.returncode == 0, done.stderr
    found = report(folder, "diff")
    assert found["better"] == "b"
    assert found["verdict"].startswith("Version 2 is better: mean absolute error")
    by_name = {row["name"]: row for row in found["metrics"]}
    assert set(by_name) == {"mae", "rmse", "r2"}
    assert by_name["mae"]["difference"] < 0
    assert by_name["mae"]["better"] == "b"
    assert by_name["rmse"]["difference"] < 0 < by_name["r2"]["difference"]
    page = (folder / "reports/diff.html").read_text()
    assert "Closer now" in page
    assert "numbers closer in version 2" in page


def gate(server: RunningServer, folder: Path, candidate: int, stable: int | None, rules: Rules) -> Any:
    path = folder / "data"
    card = json.loads((folder / f"models/{DIABETES}/2/assets.extra/model_card.json").read_text())
    reader = open_reader(path / card["data"]["test"]["file"]["path"])
    sides = [
        Side(Settings(version, task="regression"), None) if version else None
        for version in (candidate, stable)
    ]
    with Client(server.grpc, DIABETES) as client, Progress(None, "gate") as progress:
        return judge(rules, measure(client, reader, sides[0], sides[1], rules, progress))  # type: ignore[arg-type]


def test_the_gate_promotes_less_error_beyond_chance(server: RunningServer, folder: Path) -> None:
    better = gate(server, folder, 2, 1, Rules())
    assert better.name == "blessed"
    assert "mae" in better.sentence
    assert "examples closer now" in better.sentence
    worse = gate(server, folder, 1, 2, Rules())
    assert worse.name == "rejected"
    equal = gate(server, folder, 2, 2, Rules())
    assert equal.name == "inconclusive"
    assert {check.what for check in better.checks} >= {"mae", "rmse", "r2"}


def test_the_gate_file_knows_the_metrics(server: RunningServer, folder: Path, tmp_path: Path) -> None:
    from atelier_client.gate.rules import read_rules

    path = tmp_path / "gate.yaml"
    path.write_text(
        "metrics:\n  mae: {change_threshold: {absolute: 5, direction: lower_is_better}}\n"
        "  rmse: {value_threshold: {upper_bound: 1000}}\n  r2: {value_threshold: {lower_bound: -10}}\n"
        "  median_absolute_error: {observe: true}\n"
    )
    verdict = gate(server, folder, 2, 2, read_rules(path))
    assert verdict.name == "blessed", verdict.sentence
    path.write_text("metrics: {accuracy: {value_threshold: {lower_bound: 0.5}}}\n")
    verdict = gate(server, folder, 2, 1, read_rules(path))
    assert verdict.name == "not_evaluated"
    assert "accuracy was not measured: it cannot be measured of this model, only mae" in verdict.sentence


def test_a_release_promotes_the_better_version(server: RunningServer, folder: Path, tmp_path: Path) -> None:
    """By the command, on a repository of its own."""
    models = tmp_path / "models"
    shutil.copytree(folder / "models" / DIABETES, models / DIABETES)
    (models / "models.config").write_text(
        f'model_config_list {{\n  config {{\n    name: "{DIABETES}"\n    base_path: "{models}/{DIABETES}"\n'
        '    model_platform: "tensorflow"\n    model_version_policy { specific { versions: 1 } }\n  }\n}\n'
    )
    flags = [f"--model_config_file={models}/models.config", "--model_config_file_poll_wait_seconds=1"]
    with running_server(
        models, *flags, "--allow_version_labels_for_unavailable_models=true", model=DIABETES
    ) as own:
        where = ["--target", own.grpc, "--model", DIABETES, "--models", models, "--data", folder / "data"]
        first = command("release", 1, *where)
        assert first.returncode == 0, first.stderr
        second = command("release", 2, *where, "--json")
    assert second.returncode == 0, second.stderr
    outcome = json.loads(second.stdout)
    assert outcome["event"] == "promoted"
    assert "Version 2 is blessed against version 1 on 88 examples: mae" in second.stderr


def test_drift_compares_predictions_as_numbers(server: RunningServer, folder: Path, tmp_path: Path) -> None:
    """The requests of the second half are about much heavier people: predictions move, and no accuracy is promised."""
    _, rows, _ = table(DIABETES)
    log = tmp_path / "requests"
    with Recorder(log, rate=1) as recorder, Client(server.grpc, DIABETES, recorder=recorder) as client:
        for half in (rows, rows * [1, 1, 1.6, 1, 1, 1, 1, 1, 1, 1]):
            client.predict(half.astype(np.float32), version=2)
    where = ["--model", DIABETES, "--models", folder / "models", "--reports", tmp_path, "--version", 2]
    done = command("drift", "--log", log, *where, "--every", len(rows))
    assert done.returncode == 1, done.stderr
    assert (
        "no accuracy can be estimated without labels (CBPE takes the confidences of classes)" in done.stderr
    )
    document = json.loads((tmp_path / "drift.json").read_text())
    second = document["windows"][1]
    moved = {column["name"]: column for column in second["skew"]["columns"]}
    assert moved["prediction"]["measure"] == "wasserstein"
    assert moved["prediction"]["verdict"] == moved["bmi"]["verdict"] == "changed"
    assert second["accuracy"]["estimated"] is None
    refused = command("drift", "--log", log, *where, "--feedback", write(DIABETES, tmp_path))
    assert refused.returncode == 2
    assert "is of the task regression, and accuracy is counted of one class a row" in refused.stderr
