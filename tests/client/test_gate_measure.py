"""The gate measures two versions, or the first one, against a real server."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client import Client
from atelier_client._model_card import read_card
from atelier_client.comparison.mcnemar import PairedAccuracy
from atelier_client.data.open import open_reader
from atelier_client.errors import NotReachable
from atelier_client.evaluation.passes.evaluate import evaluate
from atelier_client.evaluation.progress import Progress
from atelier_client.evaluation.settings import Settings
from atelier_client.gate.measure import Side, measure
from atelier_client.gate.measured import Measured
from atelier_client.gate.rules import Rules, read_rules
from atelier_client.gate.verdict import judge
from numpy.typing import NDArray

from tests.support.idx_files import split_examples, write_split
from tests.support.models import publish_untrained
from tests.support.ports import free_port
from tests.support.server import await_versions, running_server
from tests.support.toy_models import save_toy

CONFIG = """model_config_list {{ config {{ name: "fashion" base_path: "{folder}/fashion" model_platform: "tensorflow"
  model_version_policy {{ specific {{ versions: 1 versions: 2 }} }} }}
  config {{ name: "toy" base_path: "{folder}/toy" model_platform: "tensorflow" }} }}
"""
RULES = """
metrics:
  accuracy:
    change_threshold: {absolute: 0.0}
    slices:
      "label == 'Sandal'": {value_threshold: {lower_bound: 0.01}}
      "row < 300": {change_threshold: {absolute: -0.9}}
  loss: {value_threshold: {upper_bound: 1000}}
latency_p99_ms: {value_threshold: {upper_bound: 10000}}
size_mb: {value_threshold: {upper_bound: 500}, change_threshold: {relative: 0.5}}
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 1 and 2 of `fashion` with different weights, and a model that is no classifier."""
    folder = tmp_path_factory.mktemp("versions")
    for seed in range(2):
        publish_untrained(folder, seed=seed)
    save_toy(folder)
    (folder / "models.config").write_text(CONFIG.format(folder=folder))
    return folder


@pytest.fixture(scope="module")
def served(repository: Path) -> Iterator[Any]:
    with running_server(repository, f"--model_config_file={repository / 'models.config'}") as running:
        yield running


@pytest.fixture(scope="module")
def client(served: Any) -> Iterator[Client]:
    await_versions(served, "fashion", 1, 2)
    with Client(served.grpc, "fashion") as opened:
        yield opened


@pytest.fixture(scope="module")
def answers(client: Client) -> list[NDArray[Any]]:
    """The class numbers that versions 1 and 2 give the images of `split_examples`."""
    return [client.predict(split_examples()[0], version=version)["class_id"] for version in (1, 2)]


@pytest.fixture(scope="module")
def labels(answers: list[NDArray[Any]]) -> NDArray[Any]:
    """Labels of which version 2 knows 60 %."""
    mostly = np.random.default_rng(0).random(len(answers[1])) < 0.6
    return np.where(mostly, answers[1], split_examples()[1].astype(np.int64))


@pytest.fixture
def examples(tmp_path: Path, labels: NDArray[Any]) -> Path:
    write_split(tmp_path / "data", split_examples()[0], labels.astype(np.uint8))
    return next((tmp_path / "data").iterdir())


@pytest.fixture(autouse=True)
def _few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atelier_client.gate.measure.DECIDING", 150)
    monkeypatch.setattr("atelier_client.gate.measure.OBSERVED", 150)


def side(repository: Path, version: int) -> Side:
    folder = repository / "fashion" / str(version)
    card = read_card(folder)
    assert card
    return Side(
        Settings(version, class_names=card.class_names, layout=card.test_layout, label_kind=card.label_kind),
        folder,
    )


def measured_by(
    client: Client, examples: Path | None, candidate: Side, stable: Side | None, rules: Rules
) -> Measured:
    with Progress(None, "gate") as progress:
        return measure(
            client, open_reader(examples) if examples else None, candidate, stable, rules, progress
        )


def written(folder: Path, text: str) -> Rules:
    path = folder / "gate.yaml"
    path.write_text(text)
    return read_rules(path)


def test_both_versions_are_measured_on_the_same_examples(
    client: Client,
    repository: Path,
    examples: Path,
    answers: list[NDArray[Any]],
    labels: NDArray[Any],
    tmp_path: Path,
) -> None:
    rules = written(tmp_path, RULES)
    measured = measured_by(client, examples, side(repository, 2), side(repository, 1), rules)
    assert measured.reason == ""
    assert measured.whole
    right = [answer == labels for answer in answers]
    paired = measured.whole.metrics["accuracy"].change
    assert paired
    assert isinstance(paired.paired, PairedAccuracy)
    assert (paired.paired.only_a, paired.paired.only_b) == (
        (right[0] & ~right[1]).sum(),
        (~right[0] & right[1]).sum(),
    )
    chosen = {"label == 'Sandal'": labels == 5, "row < 300": np.arange(len(labels)) < 300}
    for text, rows in chosen.items():
        [part] = measured.slices[text]
        assert part.examples == rows.sum()
        assert part.metrics["accuracy"].value == pytest.approx(right[1][rows].mean())
        change = part.metrics["accuracy"].change
        assert change
        assert change.stable == pytest.approx(right[0][rows].mean())
    assert measured.dataset
    assert measured.dataset["sha256"] == open_reader(examples).sha256()
    files = [path for path in (repository / "fashion/2").rglob("*") if path.is_file()]
    assert measured.size
    assert measured.size.value * 1e6 == pytest.approx(sum(path.stat().st_size for path in files))
    assert measured.requests == 150
    assert measured.latency
    assert 0 < measured.latency.value < 10_000
    verdict = judge(rules, measured)
    assert verdict.name == "blessed", verdict.sentence
    assert verdict.examples == len(labels)
    turned = measured_by(client, examples, side(repository, 1), side(repository, 2), rules)
    rejected = judge(rules, turned)
    assert rejected.name == "rejected"
    assert rejected.sentence.startswith("Version 1 is rejected against version 2 on ")


def test_a_version_against_itself_is_held_or_passed_as_the_rules_say(
    client: Client, repository: Path, examples: Path, tmp_path: Path
) -> None:
    one = side(repository, 1)
    measured = measured_by(client, examples, one, one, Rules())
    assert judge(Rules(), measured).name == "inconclusive"
    margin = written(tmp_path, "metrics: {accuracy: {change_threshold: {absolute: -0.05}}}")
    assert judge(margin, measured).name == "blessed"


def test_a_first_version_is_measured_by_itself(
    client: Client, repository: Path, examples: Path, tmp_path: Path
) -> None:
    rules = written(tmp_path, RULES)
    candidate = side(repository, 2)
    alone = measured_by(client, examples, candidate, None, rules)
    beside = measured_by(client, examples, candidate, side(repository, 1), rules)
    assert alone.whole
    assert beside.whole
    for name, measurement in beside.whole.metrics.items():
        assert alone.whole.metrics[name].value == measurement.value
        assert alone.whole.metrics[name].interval == measurement.interval
        assert alone.whole.metrics[name].change is None
    assert {text: parts[0].examples for text, parts in alone.slices.items()} == {
        text: parts[0].examples for text, parts in beside.slices.items()
    }
    with Progress(None, "evaluate") as progress:
        told = evaluate(
            client, open_reader(examples), candidate.settings, progress
        ).findings.counts.metrics()[0]
    assert {name: alone.whole.metrics[name].value for name in told} == told
    verdict = judge(rules, alone)
    assert verdict.name == "blessed"
    assert "there is no baseline to compare with" in verdict.sentence


def test_each_value_of_a_column_is_a_slice(
    client: Client, repository: Path, examples: Path, tmp_path: Path
) -> None:
    rules = written(tmp_path, "metrics: {accuracy: {slices: {label: {change_threshold: {absolute: -0.99}}}}}")
    measured = measured_by(client, examples, side(repository, 2), side(repository, 1), rules)
    assert len(measured.slices["label"]) == 10
    checks = [check for check in judge(rules, measured).checks if "slice" in check.what]
    assert [check.what for check in checks][:2] == [
        'accuracy of slice "label = T-shirt/top"',
        'accuracy of slice "label = Trouser"',
    ]


def test_what_cannot_be_measured_is_said(
    client: Client, served: Any, repository: Path, examples: Path, tmp_path: Path
) -> None:
    one, two = side(repository, 1), side(repository, 2)

    def refused(measured: Measured, rules: Rules) -> str:
        verdict = judge(rules, measured)
        assert (verdict.name, verdict.exit_code) == ("not_evaluated", 1)
        assert "\n" not in verdict.sentence
        return verdict.sentence

    nothing = measured_by(client, None, two, one, Rules())
    assert refused(nothing, Rules()) == (
        "Version 2 was not evaluated against version 1: accuracy was not measured: there are no labelled examples; "
        "name a file of them in gate.yaml (examples: FILE), publish the version again with some (--examples of "
        "atelier-trainer import, EXAMPLES= of make up), or release it unmeasured (--force --reason TEXT)."
    )
    assert nothing.size
    names = one.settings.class_names
    assert names
    turned = Settings(1, class_names=names[::-1], label_kind=one.settings.label_kind)
    text = refused(measured_by(client, examples, two, Side(turned, None), Rules()), Rules())
    assert "Only versions with the same classes in the same order can be compared." in text
    wrong = written(tmp_path, "metrics: {accuracy: {slices: {label == Shirt: {observe: true}}}}")
    measured = measured_by(client, examples, two, one, wrong)
    assert measured.whole is None
    assert "The class is written in quotes: 'Shirt'." in measured.reason
    binary = written(tmp_path, "metrics: {precision: {value_threshold: {lower_bound: 0.1}}}")
    text = refused(measured_by(client, examples, two, one, binary), binary)
    assert "precision was not measured: it cannot be measured of this model, only accuracy, loss," in text
    with Client(served.grpc, "toy") as toy:
        text = refused(measured_by(toy, examples, Side(Settings(1), None), one, Rules()), Rules())
    assert "accuracy was not measured: " in text


def test_a_folder_that_is_away_has_no_size(
    client: Client, repository: Path, examples: Path, tmp_path: Path
) -> None:
    rules = written(tmp_path, "size_mb: {value_threshold: {upper_bound: 500}}")
    away = Side(side(repository, 2).settings, tmp_path / "nowhere")
    verdict = judge(rules, measured_by(client, examples, away, side(repository, 1), rules))
    assert verdict.name == "not_evaluated"
    assert "size_mb was not measured: the version's folder is not on this machine" in verdict.sentence
    copy = tmp_path / "copy"
    shutil.copytree(repository / "fashion/2", copy)
    (copy / "loop").symlink_to(copy)
    linked = measured_by(client, None, Side(away.settings, copy), None, rules)
    assert linked.size
    assert linked.size.value < 500


def test_a_server_that_is_away_is_an_error_and_no_verdict(repository: Path, examples: Path) -> None:
    with Client(f"127.0.0.1:{free_port()}", "fashion", timeout=2) as away, pytest.raises(NotReachable):
        measured_by(away, examples, side(repository, 2), side(repository, 1), Rules())
