"""`make image`: a published version in an image of its own, which a server serves as it was published."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from atelier_client import Client
from atelier_client._model_card import read_golden
from atelier_client.evaluation.skew import TOLERANCE, measure

from stack.engines import docker
from stack.engines.docker import Docker
from stack.engines.project import project_name
from stack.model_image import repository
from tests.support.checkout import Checkout
from tests.support.models import publish_untrained
from tests.support.server import running_server

MODEL = "image-test"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one version."""
    models = tmp_path_factory.mktemp("published")
    publish_untrained(models, MODEL)
    return models


@pytest.fixture
def shop(checkout: Checkout, published: Path) -> Checkout:
    """A checkout that has the version, written under a narrow umask."""
    shutil.copytree(published, checkout.path / "models")
    for path in (checkout.path / "models").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return checkout


@pytest.fixture
def built(shop: Checkout, engine: Docker) -> Iterator[str]:
    """The name that `make image` says at its end."""
    name = shop.make("image", f"MODEL={MODEL}", "VERSION=1").splitlines()[-1]
    yield name
    docker.ask("image", "rm", "--force", name)


def unpacked(name: str, folder: Path) -> list[tarfile.TarInfo]:
    """Unpack the image's file system; return its members."""
    container = docker.ask("create", name, "none").stdout.strip()
    assert container
    try:
        tar = folder.with_suffix(".tar")
        subprocess.run(["docker", "export", "--output", tar, container], check=True)
        with tarfile.open(tar) as archive:
            archive.extractall(folder, filter="tar")
            members = archive.getmembers()
    finally:
        docker.ask("rm", "--force", container)
    return members


def test_an_image_of_a_version_is_served_as_it_was_published(
    built: str, published: Path, tmp_path: Path
) -> None:
    assert built == f"atelier-model/{MODEL}:1"
    members = {member.name: member for member in unpacked(built, tmp_path / "image")}
    version = f"models/{MODEL}/1"
    files = {
        name.removeprefix(f"{version}/"): m for name, m in members.items() if name.startswith(f"{version}/")
    }
    wanted = {str(path.relative_to(published / MODEL / "1")) for path in (published / MODEL / "1").rglob("*")}
    assert set(files) == wanted
    for member in (members[version], *files.values()):
        assert stat.S_IMODE(member.mode) == (0o755 if member.isdir() else 0o644), member.name
    # Nothing but the model, and what the engine itself puts into a container.
    assert {name.split("/")[0] for name in members} <= {"models", "dev", "etc", "proc", "sys", ".dockerenv"}

    models = tmp_path / "image" / "models"
    with running_server(models, model=MODEL) as server, Client(server.grpc, MODEL) as client:
        skew = measure(client, 1, read_golden(models / MODEL / "1"))
    assert skew["examples"] == 16
    assert skew["mismatched_labels"] == 0
    assert skew["max_abs_diff"] <= TOLERANCE


def test_its_labels_are_those_of_the_card(built: str, published: Path) -> None:
    folder = published / MODEL / "1"
    card = json.loads((folder / "assets.extra" / "model_card.json").read_text())
    seen = docker.ask("image", "inspect", "--format", "{{json .Config.Labels}}", built)
    labels: dict[str, Any] = json.loads(seen.stdout)
    assert labels["org.opencontainers.image.title"] == MODEL
    assert labels["org.opencontainers.image.version"] == "1"
    assert labels["org.opencontainers.image.created"] == card["created_at"]
    digest = subprocess.run(
        ["sha256sum", folder / "assets.extra" / "model_card.json"], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    assert labels["example.atelier.model.card.sha256"] == digest
    for name, value in card["metrics"]["test"].items():
        assert float(labels[f"example.atelier.metrics.test.{name}"]) == value


def test_a_version_in_the_volume_of_the_containers_is_found(
    checkout: Checkout, published: Path, engine: Docker, tmp_path: Path
) -> None:
    if not docker.has_image("atelier-client"):
        pytest.skip("the engine has no image atelier-client yet: `make up ENGINE=compose` builds it")
    volume = f"{project_name(checkout.path)}_models"
    docker.ask("volume", "create", volume)
    container = docker.ask("create", f"--volume={volume}:/models", "atelier-client").stdout.strip()
    try:
        docker.ask("cp", f"{published}/.", f"{container}:/models", timeout=60)
        said = checkout.make("image", f"MODEL={MODEL}", "VERSION=1")
        name = said.splitlines()[-1]
        assert name == f"atelier-model/{MODEL}:1"
        members = unpacked(name, tmp_path / "image")
        assert f"models/{MODEL}/1/saved_model.pb" in {member.name for member in members}
        assert f"VERSION=2: of {MODEL} there is 1" in checkout.make(
            "image", f"MODEL={MODEL}", "VERSION=2", "ENGINE=compose", expect=2
        )
        shutil.copytree(published, checkout.path / "models")
        text = checkout.make("image", f"MODEL={MODEL}", "VERSION=1", expect=2)
        assert "both the folder models and the containers' volume have it" in text
    finally:
        docker.ask("rm", "--force", container)
        docker.ask("volume", "rm", volume)
        docker.ask("image", "rm", "--force", f"atelier-model/{MODEL}:1")


def test_what_is_not_there_is_one_sentence(shop: Checkout, engine: Docker) -> None:
    def refused(*given: str, expect: int = 2) -> str:
        return shop.make("image", *given, expect=expect)

    assert "expected the name of a published model" in refused()
    assert "expected the name of a published model" in refused("MODEL=../models", "VERSION=1")
    assert "there is no published version of it" in refused("MODEL=nobody", "VERSION=1")
    assert f"needs VERSION=n; of {MODEL} there is 1" in refused(f"MODEL={MODEL}")
    assert f"VERSION=7: of {MODEL} there is 1" in refused(f"MODEL={MODEL}", "VERSION=7")
    assert "in the containers' volume" in refused(f"MODEL={MODEL}", "VERSION=1", "ENGINE=compose")
    gone = "unix:///nonexistent/engine.sock"
    text = shop.make("image", f"MODEL={MODEL}", "VERSION=1", expect=1, DOCKER_HOST=gone)
    assert "the container engine does not answer" in text


def test_what_is_not_as_it_was_published_is_no_image(shop: Checkout, engine: Docker) -> None:
    folder = shop.path / "models" / MODEL / "1"
    (folder / "assets" / "added.txt").parent.mkdir(exist_ok=True)
    (folder / "assets" / "added.txt").write_text("mine")
    text = shop.make("image", f"MODEL={MODEL}", "VERSION=1", expect=1)
    assert f"{MODEL} version 1 is not what was published: assets/added.txt." in text
    (folder / "assets.extra" / "model_card.json").unlink()
    text = shop.make("image", f"MODEL={MODEL}", "VERSION=1", expect=1)
    assert "has no model card" in text
    assert not docker.has_image(f"atelier-model/{MODEL}:1")
    assert not list((shop.path / ".atelier").glob("image-*"))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("fashion", "fashion"),
        ("a_b-c.d", "a_b-c.d"),
        ("Fashion", "fashion-"),
        ("größe 2", "gr-e-2-"),
        ("__", ""),
    ],
)
def test_every_name_of_a_model_gives_a_name_of_an_image(model: str, name: str) -> None:
    found = repository(model)
    assert found.startswith(name)
    assert found == name or len(found) == len(name) + 8
    assert repository("FASHION") != repository("Fashion")
