"""The command `diff`: two versions of one model on the same examples, against a real server."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client import Client
from numpy.typing import NDArray

from tests.support.client_command import command, start
from tests.support.idx_files import split_examples, write_split
from tests.support.models import publish_untrained
from tests.support.page_layout import what_overflows
from tests.support.server import await_versions, running_server

CONFIG = """model_config_list {{ config {{ name: "fashion" base_path: "{folder}" model_platform: "tensorflow"
  model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
  version_labels {{ key: "stable" value: 1 }} version_labels {{ key: "canary" value: 2 }} }} }}
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 1 and 2 of `fashion`, with different weights, both served, and version 3, which is not."""
    folder = tmp_path_factory.mktemp("versions")
    for seed in range(3):
        publish_untrained(folder, seed=seed)
    (folder / "models.config").write_text(CONFIG.format(folder=folder / "fashion"))
    return folder


@pytest.fixture(scope="module")
def served(repository: Path) -> Iterator[Any]:
    flags = (
        f"--model_config_file={repository / 'models.config'}",
        "--allow_version_labels_for_unavailable_models=true",
    )
    with running_server(repository, *flags) as running:
        await_versions(running, "fashion", 1, 2)
        yield running


@pytest.fixture(scope="module")
def answers(served: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """The class numbers that versions 1 and 2 give the images of `split_examples`."""
    with Client(served.grpc, "fashion") as client:
        images = split_examples()[0]
        one, two = (client.predict(images, version=version)["class_id"] for version in (1, 2))
    return one, two


@pytest.fixture
def labelled(tmp_path: Path, answers: Any) -> tuple[Path, NDArray[Any]]:
    """A data folder in which version 2 is right about 60 % of the examples, and its labels."""
    labels = split_examples()[1].astype(np.int64)
    mostly = np.random.default_rng(0).random(len(labels)) < 0.6
    labels = np.where(mostly, answers[1], labels)
    write_split(tmp_path / "data", split_examples()[0], labels.astype(np.uint8))
    return tmp_path / "data", labels


def diff(served: Any, repository: Path, data: Path, reports: Path, *more: Any) -> Any:
    folders = ("--models", repository, "--data", data, "--reports", reports)
    return command("diff", "--target", served.grpc, *folders, *more)


def test_the_better_version_is_told_with_its_numbers(
    served: Any, repository: Path, labelled: Any, answers: Any, tmp_path: Path
) -> None:
    data, labels = labelled
    done = diff(served, repository, data, tmp_path, "1", "2")
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "diff.json").read_text())
    right = [answer == labels for answer in answers]
    assert document["paired"]["both_right"] == (right[0] & right[1]).sum()
    assert document["paired"]["only_a_right"] == (right[0] & ~right[1]).sum()
    assert document["paired"]["only_b_right"] == (~right[0] & right[1]).sum()
    assert document["paired"]["neither_right"] == (~right[0] & ~right[1]).sum()
    assert document["better"] == "b"
    assert document["changed"] == (answers[0] != answers[1]).sum()
    accuracy = document["metrics"][0]
    assert accuracy["name"] == "accuracy"
    assert accuracy["a"] == pytest.approx(right[0].mean())
    assert accuracy["b"] == pytest.approx(right[1].mean())
    assert accuracy["interval"][0] > 0
    assert document["verdict"].startswith("Version 2 is better: accuracy ")
    assert "Version 2 is better" in " ".join(done.stdout.split())
    for row in document["classes"]:
        number = next(entry for entry in range(10) if _name(repository, entry) == row["label"])
        chosen = labels == number
        assert row["examples"] == chosen.sum()
        assert row["b"] - row["a"] == pytest.approx(right[1][chosen].mean() - right[0][chosen].mean())
    moved = [abs(row["difference"]) for row in document["classes"]]
    assert moved == sorted(moved, reverse=True)


def _name(repository: Path, number: int) -> str:
    card = json.loads((repository / "fashion/1/assets.extra/model_card.json").read_text())
    name: str = card["class_names"][number]
    return name


def test_turned_round_the_other_is_better(
    served: Any, repository: Path, labelled: Any, tmp_path: Path
) -> None:
    forward = diff(served, repository, labelled[0], tmp_path / "1", "1", "2", "--json")
    back = diff(served, repository, labelled[0], tmp_path / "2", "2", "1", "--json")
    one, two = json.loads(forward.stdout), json.loads(back.stdout)
    assert (one["better"], two["better"]) == ("b", "a")
    assert [row["difference"] for row in one["metrics"]] == pytest.approx(
        [-row["difference"] for row in two["metrics"]]
    )
    assert not (tmp_path / "1" / "diff.html").exists()


def test_labels_name_the_versions_too(served: Any, repository: Path, labelled: Any, tmp_path: Path) -> None:
    done = diff(served, repository, labelled[0], tmp_path, "stable", "canary", "--json")
    assert done.returncode == 0, done.stderr
    model = json.loads(done.stdout)["model"]
    assert model["a"] == {"asked": "stable", "version": 1}
    assert model["b"] == {"asked": "canary", "version": 2}


def test_noise_is_not_taken_for_a_difference(
    served: Any, repository: Path, tmp_path: Path, answers: Any
) -> None:
    """Labels that neither version knows: both are right by chance, on other examples."""
    labels = np.random.default_rng(9).integers(0, 10, len(answers[0])).astype(np.uint8)
    write_split(tmp_path / "data", split_examples()[0], labels)
    done = diff(served, repository, tmp_path / "data", tmp_path, "1", "2", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert document["better"] is None
    assert "do not tell which version is better" in document["verdict"]
    assert document["paired"]["only_a_right"] > 50 < document["paired"]["only_b_right"]


def test_the_page_shows_the_examples_that_changed_and_needs_no_other_file(
    served: Any, repository: Path, labelled: Any, tmp_path: Path
) -> None:
    assert diff(served, repository, labelled[0], tmp_path, "1", "2").returncode == 0
    page = (tmp_path / "diff.html").read_text()
    assert what_overflows(page) == []
    assert page.count("data:image/png;base64,") == 48
    assert not re.search(r"url\(|@import|<script|https?://", page)
    for words in ("Now wrong", "Now right", "Wrong in another way", "the biggest movers first", "was "):
        assert words in page, words


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (("1", "3"), 2, "Both versions must be served at the same time"),
        (("1", "nowhere"), 2, "nowhere"),
        (("stable", "1"), 2, "are both version 1"),
        (("1", "2", "missing.csv"), 2, "missing.csv does not exist"),
        (("1",), 2, "required"),
    ],
)
def test_what_cannot_be_compared_is_one_message(
    served: Any, repository: Path, labelled: Any, tmp_path: Path, asked: Any, code: int, said: str
) -> None:
    done = diff(served, repository, labelled[0], tmp_path, *asked)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "diff.json").exists()


def test_versions_with_other_classes_are_not_compared(
    served: Any, repository: Path, labelled: Any, tmp_path: Path
) -> None:
    copy = tmp_path / "models"
    shutil.copytree(repository, copy)
    path = copy / "fashion/2/assets.extra/model_card.json"
    card = json.loads(path.read_text())
    card["class_names"] = [*card["class_names"][1:], card["class_names"][0]]
    path.write_text(json.dumps(card))
    done = diff(served, copy, labelled[0], tmp_path, "1", "2")
    assert done.returncode == 2
    assert "Only versions with the same classes in the same order" in done.stderr


def test_a_server_that_is_away_is_code_3(repository: Path, labelled: Any, tmp_path: Path) -> None:
    folders = ("--models", repository, "--data", labelled[0], "--reports", tmp_path)
    done = command("diff", "--target", "127.0.0.1:9", "--timeout", "1", *folders, "1", "2")
    assert done.returncode == 3, done.stderr


def test_ctrl_c_ends_at_once(served: Any, repository: Path, tmp_path: Path) -> None:
    images = np.zeros([200_000, 28, 28], np.uint8)
    write_split(tmp_path / "data", images, np.zeros(len(images), np.uint8))
    folders = ("--models", repository, "--data", tmp_path / "data", "--reports", tmp_path)
    process = start("diff", "--target", served.grpc, *folders, "1", "2")
    try:
        assert process.stderr is not None
        with pytest.raises(Exception, match="timed out"):
            process.wait(timeout=1.0)
        process.send_signal(2)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "Traceback" not in errors
