"""A job with task: regression: what is trained, published, kept and refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from atelier_trainer.data import job_data
from atelier_trainer.data.dataset import Examples
from atelier_trainer.data.held_out_file import read_test_file_of
from atelier_trainer.errors import DataInvalid, RunError
from atelier_trainer.job import Job
from atelier_trainer.publishing.exported_model import ExportedModel
from atelier_trainer.studies.comparison import compare
from atelier_trainer.training import model_files
from atelier_trainer.training.run import Run
from pydantic import ValidationError
from sklearn import metrics as sk
from sklearn.linear_model import LinearRegression

from tests.support.regression_tables import DIABETES, job, publish, table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 of the diabetes model, validated in each epoch."""
    folder = tmp_path_factory.mktemp("regression")
    publish(DIABETES, folder, validation_split=0.2)
    return folder


@pytest.fixture(scope="module")
def version(folder: Path) -> Path:
    return folder / "models" / DIABETES / "1"


@pytest.fixture(scope="module")
def card(version: Path) -> dict[str, Any]:
    return dict(json.loads((version / "assets.extra" / "model_card.json").read_text()))


def load(folder: Path, labels: list[str], **more: Any) -> Any:
    rows = "".join(f"{number * 0.7:g},{label}\n" for number, label in enumerate(labels))
    (folder / "t.csv").write_text(f"x,y\n{rows}")
    document = job(DIABETES) | {"data": {"csv": "t.csv", "label": "y", **more}}
    return job_data.load(Job.from_document(document, folder), folder / "data")


def test_the_card_has_scikit_learns_metrics_of_the_exported_model(
    folder: Path, version: Path, card: dict[str, Any]
) -> None:
    assert card["task"] == "regression"
    assert card["class_names"] == []
    examples = read_test_file_of(version, folder / "data")
    predicted = ExportedModel(version).answers(examples.inputs).astype(np.float64)
    assert card["metrics"]["test"] == {
        "mae": pytest.approx(sk.mean_absolute_error(examples.labels, predicted), rel=1e-12),
        "rmse": pytest.approx(sk.root_mean_squared_error(examples.labels, predicted), rel=1e-12),
        "r2": pytest.approx(sk.r2_score(examples.labels, predicted), rel=1e-12),
        "median_absolute_error": pytest.approx(
            sk.median_absolute_error(examples.labels, predicted), rel=1e-12
        ),
        "examples": 88,
    }
    assert ExportedModel(version).evaluate(examples) == card["metrics"]["test"]


def test_the_network_is_about_as_good_as_a_linear_regression(card: dict[str, Any]) -> None:
    _, rows, labels = table(DIABETES)
    linear = sk.mean_absolute_error(labels, LinearRegression().fit(rows, labels).predict(rows))
    assert card["metrics"]["test"]["mae"] < 1.2 * linear


def test_the_test_file_has_every_digit_of_the_labels(
    folder: Path, version: Path, card: dict[str, Any]
) -> None:
    assert card["data"]["test"]["file"]["labels"] == "values"
    _, _, labels = table(DIABETES)
    assert set(read_test_file_of(version, folder / "data").labels.tolist()) <= set(labels.tolist())


def test_the_signatures_answer_in_the_labels_unit(version: Path) -> None:
    loaded = tf.saved_model.load(str(version))
    assert set(loaded.signatures) == {"serving_default", "regress"}
    rows = table(DIABETES)[1][:3].astype(np.float32)
    predicted = loaded.signatures["serving_default"](features=tf.constant(rows))["prediction"]
    assert predicted.shape == [3]
    assert (np.abs(predicted.numpy() - table(DIABETES)[2][:3]) < 250).all()
    examples = [
        tf.train.Example(
            features=tf.train.Features(
                feature={"features": tf.train.Feature(float_list=tf.train.FloatList(value=row))}
            )
        ).SerializeToString()
        for row in rows
    ]
    regressed = loaded.signatures["regress"](inputs=tf.constant(examples))["outputs"]
    np.testing.assert_array_equal(regressed.numpy(), predicted.numpy())


def test_the_history_has_the_errors_in_the_labels_unit(folder: Path) -> None:
    run = Run(folder / "runs" / DIABETES / "1")
    rows = run.history()
    for name in ("mae", "rmse", "r2", "val_mae", "val_rmse", "val_r2"):
        assert name in rows[0]
    # The loss is the squared error over the labels' variance, which has no unit.
    last = rows[-1]
    deviation = run.document["spec"]["target"][1]
    assert last["val_loss"] == pytest.approx(last["val_rmse"] ** 2 / deviation**2, rel=1e-3)
    assert last["loss"] < rows[0]["loss"]
    assert run.loss_name() == "rmse"
    assert (run.folder / "history.png").stat().st_size > 1000


def test_runs_are_compared_by_their_rmse(folder: Path) -> None:
    run = Run(folder / "runs" / DIABETES / "1")
    [verdict] = compare([run])
    assert verdict.val_loss == min(row["val_rmse"] for row in run.history())
    assert verdict.val_accuracy is None
    assert verdict.test_r2 == run.document["metrics"]["test"]["r2"]


def test_runs_of_different_tasks_are_not_compared(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "1"
    other.mkdir(parents=True)
    rows = [{"epoch": 1, "loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}]
    (other / "history.json").write_text(json.dumps(rows))
    (other / "run.json").write_text(json.dumps({"state": "fitted", "job": {}}))
    with pytest.raises(RunError, match="is a regression and other/1 a classification"):
        compare([Run(folder / "runs" / DIABETES / "1"), Run(other)])


def test_a_saved_model_comes_back_whole(folder: Path, tmp_path: Path) -> None:
    run = Run(folder / "runs" / DIABETES / "1")
    path = model_files.save(run, "keras", tmp_path / "model.keras", folder / "data")
    checked = model_files.check(model_files.restore(path), folder / "data")
    assert checked["equal"]
    assert checked["mae"] == pytest.approx(run.document["metrics"]["test"]["mae"], rel=1e-4)


def test_the_reference_holds_predictions_as_numbers_and_no_calibration(version: Path) -> None:
    document = json.loads((version / "assets.extra" / "reference.json").read_text())
    assert document["calibration"] is None
    assert document["class_names"] == document["labels"] == []
    column = document["columns"][0]
    assert (column["name"], column["group"], column["kind"]) == ("prediction", "value", "number")
    assert sum(column["counts"]) == document["examples"]["count"] == 88


def test_labels_of_any_size_are_learned_alike(tmp_path: Path) -> None:
    """A label of millions and one of millionths have one R2: the network learns neither's unit."""
    found = []
    for factor in (1e6, 1e-6):
        place = tmp_path / str(factor)
        place.mkdir()
        _, rows, labels = table(DIABETES)
        np.savez(
            place / "t.npz",
            x_train=rows[:300].astype(np.float32),
            y_train=labels[:300] * factor,
            x_test=rows[300:].astype(np.float32),
            y_test=labels[300:] * factor,
        )
        document = job(DIABETES, epochs=3) | {"data": {"npz": "t.npz"}}
        from atelier_trainer.publishing.pipeline import train_and_publish

        made = train_and_publish(
            Job.from_document(document, place), place / "models", place / "data", place / "runs"
        )
        assert made["metrics"]["mae"] < 500 * factor
        found.append(made["metrics"]["r2"])
    assert found[0] == pytest.approx(found[1], abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"data": {"csv": "a.csv", "class_names": ["a", "b"]}},
            "data.class_names belongs to task classification",
        ),
        (
            {"fit": {"batch_size": 1, "epochs": 1, "class_weight": "balanced"}},
            "fit.class_weight belongs to task",
        ),
        ({"data": "imdb"}, "imdb has classes"),
        ({"data": {"idx": "folder"}}, "task regression reads csv and npz: data.idx"),
        ({"data": {"tfrecord": "a", "test": "b"}}, "task regression reads csv and npz: data.tfrecord"),
        ({"data": {"csv": "a", "test": "b", "stream": True}}, "leave data.stream out"),
        (
            {
                "fit": {
                    "batch_size": 1,
                    "epochs": 1,
                    "validation_split": 0.1,
                    "early_stopping": {"monitor": "val_accuracy"},
                }
            },
            "has no accuracy",
        ),
        ({"task": "clustering"}, "task"),
    ],
)
def test_keys_without_sense_for_a_number_are_errors(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Job.model_validate(job(DIABETES) | changes)


NUMBERS = [f"{number * number / 7:.3f}" for number in range(30)]


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (
            "shirt",
            r"row 4, column y: expected a finite number .* 'shirt'\. Labels that are names are classes",
        ),
        ("nan", r"row 4, column y: .*A row without a label teaches nothing"),
        ("inf", r"row 4, column y: .*Remove the row"),
        ("-inf", r"row 4, column y: .*Remove the row"),
        ("1e39", r"row 4, column y: expected a finite number"),
        ("True", r"row 4, column y: expected a finite number"),
        ("", r"row 4, column y: expected a label, got ''"),
    ],
)
def test_a_label_that_is_no_number_is_named(tmp_path: Path, label: str, said: str) -> None:
    with pytest.raises(DataInvalid, match=said):
        load(tmp_path, [*NUMBERS[:3], label, *NUMBERS[3:]])


def test_a_decimal_comma_is_read_when_the_job_says_so(tmp_path: Path) -> None:
    labels = [f'"{text.replace(".", ",")}"' for text in NUMBERS]
    with pytest.raises(DataInvalid, match=r"data\.decimal"):
        load(tmp_path, labels)
    rows = "".join(f"{n};{text.replace('.', ',')}\n" for n, text in enumerate(NUMBERS))
    (tmp_path / "semi.csv").write_text(f"x;y\n{rows}")
    document = job(DIABETES) | {"data": {"csv": "semi.csv", "label": "y", "separator": ";", "decimal": ","}}
    data = job_data.load(Job.from_document(document, tmp_path), tmp_path / "data")
    assert isinstance(data.train, Examples)
    assert {*data.train.labels.tolist(), *data.test.labels.tolist()} == {float(text) for text in NUMBERS}


def test_labels_that_teach_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="every training label is 5, so there is nothing to learn"):
        load(tmp_path, ["5"] * 30)
    with pytest.raises(DataInvalid, match="rounded by up to"):
        load(tmp_path, [str(1_700_000_000 + number) for number in range(30)])


def test_equal_test_labels_leave_no_r2(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("x,y\n1,5\n2,5\n")
    data = load(tmp_path, NUMBERS, test="test.csv")
    assert any("every test label is 5: R2" in warning for warning in data.warnings)
    from atelier_trainer.metrics.regression import evaluate

    assert "r2" not in evaluate(np.array([1, 2], np.float32), data.test.labels)


def test_suspicious_labels_are_warnings(tmp_path: Path) -> None:
    assert any(
        "5 different values" in line for line in load(tmp_path, ["1", "2", "3", "4", "5"] * 30).warnings
    )
    told = load(tmp_path, [f"{number * 2.1:.9g}" for number in range(40)]).warnings
    assert any("column x tells the label" in warning for warning in told)


def test_numbers_under_classification_stay_what_they_were(tmp_path: Path) -> None:
    document = job(DIABETES) | {"task": "classification", "data": {"csv": "t.csv", "label": "y"}}
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{number},{number % 3}\n" for number in range(30)))
    data = job_data.load(Job.from_document(document, tmp_path), tmp_path / "data")
    assert data.class_names == ("0", "1", "2")
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{n},{text}\n" for n, text in enumerate(NUMBERS)))
    with pytest.raises(DataInvalid, match="task: regression predicts one"):
        job_data.load(Job.from_document(document, tmp_path), tmp_path / "data")


def test_pictures_may_have_a_number(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, [40, 6, 6], np.uint8)
    amount = images.mean(axis=(1, 2))
    np.savez(
        tmp_path / "p.npz", x_train=images[:30], y_train=amount[:30], x_test=images[30:], y_test=amount[30:]
    )
    data = job_data.load(
        Job.from_document(job(DIABETES) | {"data": {"npz": "p.npz"}}, tmp_path), tmp_path / "data"
    )
    assert data.kind == "image"
    with np.load(tmp_path / "data" / data.test_file["path"]) as arrays:
        np.testing.assert_array_equal(arrays["labels"], amount[30:])


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.array(["a", "b", "c"]), "as numbers"),
        (np.zeros([3, 2]), r"as numbers \[N\], got float64 \[3, 2\]"),
        (np.array([1.0, np.nan, 2.0]), r"y_train, row 2: expected a finite number"),
        (np.array([1.0, 2.0]), "3 rows but 2 labels"),
    ],
)
def test_wrong_arrays_are_named(tmp_path: Path, labels: Any, said: str) -> None:
    rows = np.eye(3, dtype=np.float32)
    np.savez(tmp_path / "w.npz", x_train=rows, y_train=labels, x_test=rows, y_test=np.arange(3.0))
    with pytest.raises(DataInvalid, match=said):
        job_data.load(
            Job.from_document(job(DIABETES) | {"data": {"npz": "w.npz"}}, tmp_path), tmp_path / "data"
        )
