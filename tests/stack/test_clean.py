"""`make clean` removes what the stack wrote, names what somebody else put there, and leaves that."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack import made
from tests.support.checkout import Checkout

MADE = [
    "models/models.config",
    "models/.models.config.lock",
    "models/fashion/.publish.lock",
    "models/fashion/.last-version",
    "models/fashion/1/saved_model.pb",
    "models/fashion/1/variables/variables.index",
    "models/fashion/1/assets.extra/model_card.json",
    "models/fashion/1/assets.extra/reference.json",
    "models/fashion/.staging-0123456789abcdef0123456789abcdef/saved_model.pb",
    "models/fashion/.staging-0123456789abcdef0123456789abcdef.lock",
    "data/fashion-mnist/train-images-idx3-ubyte",
    "data/imdb/train.csv",
    "data/imdb/sha256.json",
    "data/iris/test-0123456789ab-30.csv",
    "data/pictures/test-0123456789ab-30.npz",
    "data/pictures/.writing-test-0123456789ab-30.npz",
    "data/pictures/.lock",
    "data/fashion-mnist/.fetching-abc/train-images-idx3-ubyte.gz",
    "models/models.config.0123456789abcdef0123456789abcdef.new",
    "reports/.evaluation.html.0123456789abcdef0123456789abcdef",
    "reports/evaluation.html",
    "reports/drift.html",
    "reports/compare-imdb.png",
    "reports/compare-imdb.json",
    "reports/batching.config",
    "runs/fashion-dense/1/run.json",
    "runs/fashion-dense/1/checkpoints/ckpt-8.index",
    "runs/fashion-dense/1/tensorboard/train/events.out.tfevents.1.host.1.0.v2",
    "runs/fashion-dense/2/.lock",
    "runs/mlflow.db",
    "runs/mlflow-artifacts/4d1f/artifacts/history.png",
    ".atelier/state.json",
    ".atelier/logs/install.log",
    ".atelier/prometheus.log",
    ".atelier/console.token",
    ".atelier/observe/prometheus/rules.yml",
    ".atelier/prometheus/wal/00000000",
    ".venv/atelier-installed",
    ".venv/bin/python",
]
USERS = [
    "data/mine.csv",
    "data/fashion-mnist/notes.txt",
    "data/iris/iris.csv",
    "models/mine/1/saved_model.pb",
    "models/mine/1/variables/variables.index",
    "models/fashion/1/notes.txt",
    "models/fashion/README.md",
    "models/notes.txt",
    "reports/letter.html",
    "runs/plan.md",
    "runs/mlflow.db.old",
    "runs/fashion-dense/plan.md",
    # Names that are like those of the components, and are not theirs.
    "data/pictures/d41d8cd98f00b204e9800998ecf8427e.png",
    "data/mine/test-2024-100.csv",
    "models/fashion/1/assets.extra/notes.txt",
    "models/fashion/1/variables/backup.tar",
    "models/d41d8cd98f00b204e9800998ecf8427e",
    "reports/compare-prices.png",
    "runs/fashion-dense/1/notes.txt",
    "runs/mine/1/history.csv",
    ".atelier/notes.txt",
    "feedback/fashion.tfrecord",
]


def write(root: Path, names: list[str]) -> None:
    """Files of these names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def left(root: Path) -> set[str]:
    """The files and links that are left in the folders that `make clean` looks at."""
    paths = (path for name in (*made.FOLDERS, ".venv") for path in (root / name).rglob("*"))
    return {str(path.relative_to(root)) for path in paths if path.is_file() or path.is_symlink()}


def test_what_the_stack_wrote_goes_and_what_it_did_not_stays(checkout: Checkout) -> None:
    write(checkout.path, MADE + USERS)
    text = checkout.make("clean")
    assert left(checkout.path) == set(USERS)
    for name in ("data/mine/", "models/mine/", "models/fashion/1/notes.txt"):
        assert name in text
    assert "FORCE=1" in text
    checkout.make("clean", "FORCE=1")
    assert not any((checkout.path / name).exists() for name in made.FOLDERS)


def test_nothing_is_left_and_nothing_named_where_all_was_made(checkout: Checkout) -> None:
    write(checkout.path, MADE)
    assert "FORCE" not in checkout.make("clean")
    assert not any((checkout.path / name).exists() for name in made.FOLDERS)


@pytest.mark.parametrize("force", ["0", "1"])
def test_what_a_link_points_to_is_never_touched(checkout: Checkout, tmp_path: Path, force: str) -> None:
    write(tmp_path, ["elsewhere/fashion-mnist/train-images-idx3-ubyte", "elsewhere/1/saved_model.pb"])
    (tmp_path / "elsewhere" / "empty").mkdir()
    (checkout.path / "data").symlink_to(tmp_path / "elsewhere")
    (checkout.path / "models").mkdir()
    (checkout.path / "models" / "linked").symlink_to(tmp_path / "elsewhere")
    text = checkout.make("clean", f"FORCE={force}")
    assert (tmp_path / "elsewhere/fashion-mnist/train-images-idx3-ubyte").exists()
    assert (tmp_path / "elsewhere/1/saved_model.pb").exists()
    assert (tmp_path / "elsewhere/empty").exists()
    assert ("models/linked" in text) == (force == "0")
    assert (checkout.path / "data").is_symlink() == (force == "0")


def test_a_configuration_with_something_of_the_users_stays(checkout: Checkout) -> None:
    models = checkout.path / "models"
    write(checkout.path, ["models/mine/1/saved_model.pb"])
    config = models / "models.config"
    for text in (
        f'name: "mine" base_path: "{models / "mine"}"',
        'name: "other" base_path: "/srv/other"',
        f'name: "fashion" base_path: "{models / "fashion"}"\n# from Monday on without labels\n',
    ):
        config.write_text(f"model_config_list {{ config {{ {text} }} }}")
        checkout.make("clean")
        assert config.exists()
    config.write_text(
        f'model_config_list {{ config {{ name: "fashion" base_path: "{models / "fashion"}" }} }}'
    )
    checkout.make("clean")
    assert not config.exists()


def test_an_engine_that_does_not_answer_is_said_to_keep_its_volumes(checkout: Checkout) -> None:
    write(checkout.path, [*MADE, ".atelier/images.json"])
    text = checkout.make("clean", DOCKER_HOST="unix:///nonexistent/engine.sock")
    assert "and the containers' volumes" not in text
    assert "Not removed: this checkout's containers and volumes" in text
    assert not any((checkout.path / name).exists() for name in made.FOLDERS)


def test_an_environment_that_somebody_else_made_is_neither_removed_nor_replaced(checkout: Checkout) -> None:
    write(checkout.path, [".venv/bin/python", ".venv/lib/mine.py"])
    assert ".venv/" in checkout.make("clean")
    assert "was not made by make" in checkout.make("up", "ENGINE=local", expect=1)
    assert (checkout.path / ".venv/lib/mine.py").exists()
    checkout.make("clean", "FORCE=1")
    assert not (checkout.path / ".venv").exists()
