"""Comparing histories: who overfits, from when, who is best."""

import json
from pathlib import Path
from typing import Any

import pytest
from atelier_trainer.errors import RunError
from atelier_trainer.studies.comparison import compare, overfits_from
from atelier_trainer.training.run import Run, find

from tests.support.trainer_command import trainer


def history(losses: list[float], val_losses: list[float], name: str = "loss") -> list[dict[str, Any]]:
    return [
        {
            "epoch": number,
            "accuracy": 1 - loss / 2,
            name: loss,
            "loss": loss,
            "val_accuracy": 1 - val / 2,
            f"val_{name}": val,
            "val_loss": val,
            "seconds": 1.0,
        }
        for number, (loss, val) in enumerate(zip(losses, val_losses, strict=True), 1)
    ]


def make_run(folder: Path, rows: list[dict[str, Any]], state: str = "fitted") -> Run:
    folder.mkdir(parents=True)
    document = {"state": state, "job": {}, "parameters": 10, "metrics": {"test": {"accuracy": 0.5}}}
    (folder / "run.json").write_text(json.dumps(document))
    run = Run(folder)
    run.write_history(rows)
    return run


@pytest.mark.parametrize(
    ("losses", "val_losses", "epoch"),
    [
        ([5, 4, 3, 2, 1], [5, 4, 3, 2, 1], None),  # both fall
        ([5, 4, 3, 2, 1], [5, 4, 4.5, 5, 6], 3),  # the validation rises to the end
        ([5, 4, 3, 2, 1], [5, 4, 4.1, 4.15, 6], 5),  # it stays within the tolerance at first
        ([5, 4, 3, 2, 1], [5, 4, 6, 4.1, 4.1], None),  # one bad epoch is no trend
        ([5, 4, 4.5, 5, 6], [5, 4, 5, 6, 7], None),  # both rise: it diverges, which is another illness
        ([5], [5], None),
    ],
)
def test_overfitting_is_a_validation_loss_that_stays_up_while_the_training_loss_falls(
    losses: list[float], val_losses: list[float], epoch: int | None
) -> None:
    assert overfits_from(history(losses, val_losses)) == epoch


def test_the_best_run_has_the_least_validation_loss_without_penalty(tmp_path: Path) -> None:
    plain = make_run(tmp_path / "plain/1", history([3, 2, 1], [3, 2.5, 2.4]))
    penalized = history([3, 2, 1], [3, 2.2, 2.3], "crossentropy")
    for row in penalized:
        row["val_loss"] += 10
    regular = make_run(tmp_path / "l2/1", penalized)
    verdicts = compare([plain, regular])
    assert [verdict.best for verdict in verdicts] == [False, True]
    assert verdicts[1].val_loss == 2.2
    assert verdicts[1].best_epoch == 2


def test_the_command_draws_tells_and_writes(tmp_path: Path) -> None:
    for number, name in enumerate(("one", "two")):
        make_run(tmp_path / "runs" / name / "1", history([3, 2, 1], [3, 2, 2.5 + number]))
    done = trainer(
        "compare",
        "one",
        tmp_path / "runs/two/1",
        "--runs",
        tmp_path / "runs",
        "--reports",
        tmp_path / "reports",
    )
    assert done.returncode == 0, done.stderr
    assert "from epoch 3" in done.stderr
    assert [verdict["run"] for verdict in json.loads(done.stdout)] == ["one/1", "two/1"]
    assert (tmp_path / "reports/compare-runs.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "reports/compare-runs.json").read_text()) == json.loads(done.stdout)


def test_a_run_that_cannot_be_compared_is_named(tmp_path: Path) -> None:
    rows = [{"epoch": 1, "accuracy": 0.5, "loss": 1.0}]
    make_run(tmp_path / "plain/1", rows)
    with pytest.raises(RunError, match=r"plain/1 was not validated: .*fit\.validation_split"):
        compare([find("plain", tmp_path)])
    make_run(tmp_path / "half/1", rows, state="fitting")
    with pytest.raises(RunError, match="No finished run 'half'"):
        find("half", tmp_path)
    with pytest.raises(RunError, match="is not finished"):
        find(str(tmp_path / "half/1"), tmp_path)
    with pytest.raises(RunError, match="half, plain"):
        find("nothing", tmp_path)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"state": "published", "id": "a"}, "it has no job, parameters, metrics"),
        ({"state": "fitted", "id": "a"}, "it has no job"),
        ({"state": "fitted", "job": {}, "parameters": "many"}, "no numbers"),
        ({"state": "fitted", "job": {}, "metrics": {"test": {"accuracy": "high"}}}, "no numbers"),
    ],
)
def test_a_run_without_its_results_is_named(tmp_path: Path, document: dict[str, Any], said: str) -> None:
    rows = [
        {"epoch": 1, "accuracy": 0.5, "loss": 1.0, "val_accuracy": 0.5, "val_loss": 1.0},
    ]
    make_run(tmp_path / "cut/1", rows)
    (tmp_path / "cut/1/run.json").write_text(json.dumps(document))
    with pytest.raises(RunError, match=rf"cut/1/run\.json is damaged: .*{said}"):
        compare([find("cut", tmp_path)])


def test_the_newest_finished_run_of_a_job_is_found(tmp_path: Path) -> None:
    for number, state in ((1, "fitted"), (2, "published"), (10, "fitting")):
        make_run(tmp_path / f"job/{number}", [], state)
    assert find("job", tmp_path).name == "job/2"
