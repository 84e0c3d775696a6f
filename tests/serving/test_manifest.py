"""--verify_manifest: a version is loaded when each file has the bytes that were published, and says which has not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from atelier_client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.models import publish_untrained
from tests.support.peer import AVAILABLE, END, ONCE, Peer, fresh_name
from tests.support.server import RunningServer, running_server

CARD = "assets.extra/model_card.json"
DATA = "variables/variables.data-00000-of-00001"
ANOTHER = "0" * 64


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version as the trainer publishes it."""
    return publish_untrained(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def verifying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    config = tmp_path_factory.mktemp("none") / "models.config"
    config.write_text("model_config_list {}")
    flags = (f"--model_config_file={config}", "--verify_manifest", *ONCE)
    with running_server(config.parent, *flags) as server:
        yield server


@pytest.fixture
def peer(verifying: RunningServer, published: Path, tmp_path: Path) -> Iterator[Peer]:
    """The server with version 1, whole, of a model whose name is this test's own."""
    opened = Peer(verifying, tmp_path, fresh_name())
    shutil.copytree(published, tmp_path / opened.name / "1")
    opened.reload(opened.config())
    yield opened
    opened.reload()
    opened.channel.close()


def add(peer: Peer, published: Path, damage: Callable[[Path], object]) -> str:
    """Publish version 2, damaged; return the error that it ends with."""
    staged = peer.models / "staged"
    shutil.copytree(published, staged)
    damage(staged)
    peer.publish(staged, 2)
    peer.wait(lambda: peer.states().get(2) in (AVAILABLE, END))
    assert peer.states() == {2: END, 1: AVAILABLE}
    assert str(peer.models / peer.name / "2") in peer.error(2)
    return peer.error(2)


def flip(path: Path, place: int = 100) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    card = json.loads((folder / CARD).read_text())
    change(card)
    (folder / CARD).write_text(json.dumps(card))


def to_link(path: Path) -> None:
    """The same bytes, somewhere else."""
    target = path.rename(path.parent.parent.parent / "elsewhere")
    path.symlink_to(target)


def to_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def test_a_whole_version_answers(peer: Peer) -> None:
    with Client(peer.server.grpc, peer.name) as client:
        assert client.status()[0].version == 1
    assert peer.states() == {1: AVAILABLE}


@pytest.mark.parametrize(
    "name", ["saved_model.pb", DATA, "variables/variables.index", "assets.extra/golden.npz"]
)
def test_a_flipped_bit_is_named_by_file(peer: Peer, published: Path, name: str) -> None:
    error = add(peer, published, lambda folder: flip(folder / name))
    assert f"{name} has other bytes than were published (SHA-256 " in error


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / DATA).unlink(), f"{DATA} is missing"),
        (lambda folder: os.truncate(folder / DATA, 10), f"{DATA} has other bytes"),
        (lambda folder: to_link(folder / DATA), f"{DATA} is missing"),
        (lambda folder: to_pipe(folder / DATA), f"{DATA} is missing"),
        (lambda folder: (folder / CARD).unlink(), "is missing, and --verify_manifest serves only"),
        (lambda folder: to_pipe(folder / CARD), "is missing, and --verify_manifest serves only"),
        (lambda folder: os.truncate(folder / CARD, 2**40), "has more than 16,777,216 bytes"),
        (lambda folder: (folder / CARD).write_text("[" * 100_000), "has no `files` with their `sha256`"),
        (lambda folder: (folder / CARD).write_text("7"), "has no `files` with their `sha256`"),
        (lambda folder: (folder / CARD).write_bytes(b"\xff"), "has no `files` with their `sha256`"),
        (lambda folder: edit(folder, lambda card: card.pop("files")), "has no `files`"),
        (lambda folder: edit(folder, lambda card: card.update(files={})), "does not name saved_model.pb"),
        (
            lambda folder: edit(folder, lambda card: card["files"].update({"../x": {"sha256": ANOTHER}})),
            "names no file of the version and its SHA-256: '../x'",
        ),
        (
            lambda folder: edit(folder, lambda card: card["files"].update({DATA: {"sha256": "zz"}})),
            "names no file of the version and its SHA-256",
        ),
        (
            lambda folder: edit(folder, lambda card: card["files"].update({"gone": {"sha256": ANOTHER}})),
            "gone is missing",
        ),
    ],
)
def test_what_cannot_be_compared_is_not_served(
    peer: Peer, published: Path, damage: Callable[[Path], object], said: str
) -> None:
    assert said in add(peer, published, damage)


def test_without_the_flag_such_a_version_is_served(published: Path, tmp_path: Path) -> None:
    """The flag alone decides: TensorFlow Serving has nothing of the kind."""
    shutil.copytree(published, tmp_path / "fashion" / "1")
    flip(tmp_path / "fashion" / "1" / "assets.extra" / "golden.npz")
    with running_server(tmp_path, *ONCE) as server, Client(server.grpc, "fashion") as client:
        assert client.newest_available() == 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_flipped_bit_is_loaded(published: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Any bit of any published file, looked at in this process."""
    from atelier_serving.models.manifest import verify
    from atelier_serving.status import Code, ServingError

    folder = tmp_path / "version"
    if not folder.exists():
        shutil.copytree(published, folder)
    verify(folder)
    names = sorted(json.loads((folder / CARD).read_text())["files"])
    path = folder / data.draw(st.sampled_from(names))
    before = path.read_bytes()
    try:
        flip(path, data.draw(st.integers(0, len(before) - 1)))
        with pytest.raises(ServingError, match="has other bytes") as refused:
            verify(folder)
        assert refused.value.code == Code.DATA_LOSS
        assert str(path.relative_to(folder)) in refused.value.message
    finally:
        path.write_bytes(before)


def test_the_reason_is_in_the_log_and_the_status_over_rest(peer: Peer, published: Path) -> None:
    add(peer, published, lambda folder: flip(folder / DATA))
    assert f"{DATA} has other bytes" in peer.server.log_text()
    with pytest.raises(grpc.RpcError):
        peer.scale(version=2)
