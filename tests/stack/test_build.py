"""An image is built again when its folder, its recipe or the engine's image has changed, and only then."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stack.engines import docker
from stack.engines.build import Built, image_id
from stack.engines.docker import Docker

IMAGE = "atelier-test-build"


@pytest.fixture
def image(engine: Docker) -> Iterator[Callable[[str], None]]:
    """A function that gives the engine an image with this text in it."""

    made = set()

    def put(text: str) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo("text")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
        command = ["docker", "import", "-", IMAGE]
        done = subprocess.run(command, input=archive.getvalue(), capture_output=True, check=True)
        made.add(done.stdout.decode().strip())

    put("first")
    yield put
    for identity in filter(docker.has_image, made):
        subprocess.run(["docker", "image", "rm", "--force", identity], capture_output=True, check=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout with one component."""
    (tmp_path / "client" / "__pycache__").mkdir(parents=True)
    (tmp_path / "client" / "code.py").write_text("print(1)")
    (tmp_path / ".atelier").mkdir()
    return tmp_path


def is_current(folder: Path, how: str = "recipe") -> bool:
    """What a command that starts anew would find."""
    return Built(folder, folder / ".atelier").is_current("client", IMAGE, how)


def test_an_image_is_current_until_something_that_it_is_made_of_changes(
    image: Callable[[str], None], folder: Path
) -> None:
    def build() -> None:
        Built(folder, folder / ".atelier").remember("client", IMAGE, "recipe")
        assert is_current(folder)

    assert not is_current(folder)
    build()
    (folder / "client" / "__pycache__" / "code.cpython-311.pyc").write_text("compiled")
    assert is_current(folder)
    assert not is_current(folder, "another base image")

    (folder / "client" / "code.py").write_text("print(2)")
    assert not is_current(folder)
    build()
    (folder / "client" / "more.py").touch()
    assert not is_current(folder)
    build()
    image("another checkout's")
    assert not is_current(folder)
    build()
    (folder / ".atelier" / "images.json").write_text('{"atelier-test-build": 7}')
    assert not is_current(folder)
    (folder / ".atelier" / "images.json").write_text("[")
    assert not is_current(folder)


def test_an_image_that_has_gone_is_not_current(image: Callable[[str], None], folder: Path) -> None:
    Built(folder, folder / ".atelier").remember("client", IMAGE, "recipe")
    subprocess.run(["docker", "image", "rm", IMAGE], capture_output=True, check=True)
    assert image_id(IMAGE) == ""
    assert not is_current(folder)


def test_layers_that_images_share_count_once(image: Callable[[str], None]) -> None:
    alone = docker.size_of([IMAGE])
    assert alone == len("first")
    subprocess.run(["docker", "tag", IMAGE, f"{IMAGE}:again"], check=True)
    try:
        assert docker.images(f"{IMAGE}*") == [IMAGE, f"{IMAGE}:again"]
        assert docker.size_of([IMAGE, f"{IMAGE}:again"]) == alone
    finally:
        subprocess.run(["docker", "image", "rm", f"{IMAGE}:again"], capture_output=True, check=True)
