"""Versions come and go: swaps, policies, broken and half-written ones, the history of states."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from tests.support.peer import AVAILABLE, END, LOADING, Peer
from tests.support.ports import free_port
from tests.support.server import COMMAND

DATA = "variables/variables.data-00000-of-00001"


def cut(name: str, size: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:size])

    return damage


def empty(folder: Path) -> None:
    for item in folder.iterdir():
        if item.is_dir():
            shutil.rmtree(item)
        else:
            item.unlink()


def replace_by_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


HALF_WRITTEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "an empty folder": (
        empty,
        "does not appear to contain a SavedModel bundle (should have a file called `saved_model.pb`)\nSpecified file",
    ),
    "a file": (
        replace_by_a_file,
        "does not appear to contain a SavedModel bundle",
    ),
    "no graph": (
        lambda folder: (folder / "saved_model.pb").unlink(),
        "does not appear to contain a SavedModel bundle",
    ),
    "an empty graph": (cut("saved_model.pb", 0), "Could not find meta graph def matching supplied tags: { serve }."),
    "the first byte of a graph": (cut("saved_model.pb", 1), "Read less bytes than requested"),
    "half a graph": (cut("saved_model.pb", 2000), "Read less bytes than requested"),
    "another file for a graph": (
        lambda folder: (folder / "saved_model.pb").write_bytes(b"\xff\x07" * 99),
        "/saved_model.pb as binary proto",
    ),
    "no variables": (
        lambda folder: shutil.rmtree(folder / "variables"),
        "variables.index is missing, but the graph has variables: the version is incomplete.",
    ),
    "no index": (
        lambda folder: (folder / "variables/variables.index").unlink(),
        "variables.index is missing, but the graph has variables: the version is incomplete.",
    ),
    "no data": (lambda folder: (folder / DATA).unlink(), f"{DATA}; No such file or directory"),
    "half of the data": (cut(DATA, 2), "Read less bytes than requested\n\t [[{{node "),
    "half an index": (cut("variables/variables.index", 60), "not an sstable (bad magic number)\n\t [[{{node "),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "error"), HALF_WRITTEN.values(), ids=HALF_WRITTEN)
def test_a_half_written_version_ends_with_its_error_and_disturbs_nothing(
    peer: Peer, damage: Callable[[Path], object], error: str
) -> None:
    staged = peer.staged(factor=2.0)
    damage(staged)
    peer.publish(staged, 2)
    peer.wait(lambda: peer.states().get(2) == END)
    assert error in peer.error(2)
    assert peer.scale() == (1.0, 1)
    assert peer.states()[1] == AVAILABLE


def test_a_version_copied_file_by_file_is_served_once_its_folder_comes_whole(peer: Peer) -> None:
    """What `cp -r` into the base path does: the poll finds the folder before its files are there."""
    whole = peer.staged(factor=2.0)
    slow = peer.models / peer.name / "2"
    slow.mkdir()
    peer.wait(lambda: peer.states().get(2) == END)
    for item in whole.iterdir():
        shutil.copytree(item, slow / item.name) if item.is_dir() else shutil.copy(item, slow)
    # The failed version is not tried again by itself; its folder has to go and come back.
    threading.Event().wait(0.4)
    assert peer.states()[2] == END
    aside = slow.rename(peer.models / peer.name / "copied")
    threading.Event().wait(0.4)
    aside.rename(slow)
    peer.wait(lambda: peer.states()[2] == AVAILABLE)
    assert peer.scale() == (2.0, 2)


def test_swaps_under_load_fail_no_request(peer: Peer) -> None:
    """Load from four threads over several swaps: every answer is right for the version that gave it."""
    failures: list[tuple[float, int] | str | None] = []
    answers: list[int] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            try:
                value, version = peer.scale()
                answers.append(version)
                if value != float(version):
                    failures.append((value, version))
            except grpc.RpcError as error:
                failures.append(error.details())

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for version in (2, 3, 4):
            peer.save(version)
            peer.wait(lambda: peer.scale()[1] == version)  # noqa: B023 - called before the next round
            peer.wait(lambda: peer.states()[version - 1] == END)  # noqa: B023
        broken = peer.staged()
        (broken / "saved_model.pb").unlink()
        peer.publish(broken, 5)
        peer.wait(lambda: peer.states().get(5) == END)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert len(answers) > 100
    assert answers[-1] == 4


def test_the_history_is_kept_highest_first(peer: Peer) -> None:
    for version in (10, 9, 2):
        peer.save(version)
        peer.wait(lambda: peer.scale()[1] == 10)
    assert [(version, state) for version, state, _ in peer.history()] == [(10, AVAILABLE), (1, END)]
    shutil.rmtree(peer.models / peer.name / "10")
    peer.wait(lambda: peer.scale()[1] == 9)
    peer.wait(lambda: peer.states() == {10: END, 9: AVAILABLE, 1: END})
    peer.reload()
    peer.wait(lambda: set(peer.states().values()) == {END})
    assert [version for version, _, _ in peer.history()] == [10, 9, 1]


def test_deleting_the_newest_falls_back_and_deleting_all_unloads(peer: Peer) -> None:
    peer.save(2)
    peer.wait(lambda: peer.scale() == (2.0, 2))
    shutil.rmtree(peer.models / peer.name / "2")
    peer.wait(lambda: peer.scale() == (1.0, 1))
    shutil.rmtree(peer.models / peer.name / "1")
    peer.wait(lambda: peer.states() == {1: END, 2: END})
    with pytest.raises(grpc.RpcError, match=rf"Servable not found for request: Latest\({peer.name}\)"):
        peer.scale()
    peer.save(1, factor=7.0)
    peer.wait(lambda: peer.states()[1] == AVAILABLE)
    assert peer.scale() == (7.0, 1)


def test_a_base_path_that_goes_away_unloads_nothing(peer: Peer) -> None:
    away = (peer.models / peer.name).rename(peer.models / "away")
    threading.Event().wait(0.4)
    assert peer.scale() == (1.0, 1)
    away.rename(peer.models / peer.name)
    peer.save(2)
    peer.wait(lambda: peer.scale() == (2.0, 2))


def test_names_that_are_no_numbers_are_not_looked_at(peer: Peer) -> None:
    for name in (".staging-x", "v2", "2.0", "latest", "2_", "99999999999999999999"):
        peer.staged().rename(peer.models / peer.name / name)
    threading.Event().wait(0.4)
    assert peer.states() == {1: AVAILABLE}


def test_leading_zeros_are_read_as_the_number(peer: Peer) -> None:
    peer.staged(factor=4.0).rename(peer.models / peer.name / "00000123")
    peer.wait(lambda: peer.scale() == (4.0, 123))


def test_the_contents_of_a_loaded_version_are_never_looked_at_again(peer: Peer) -> None:
    shutil.rmtree(peer.models / peer.name / "1" / "variables")
    (peer.models / peer.name / "1" / "saved_model.pb").write_bytes(b"")
    threading.Event().wait(0.4)
    assert peer.scale() == (1.0, 1)
    assert peer.states() == {1: AVAILABLE}


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("", {4}),
        ("latest {}", {4}),
        ("latest { num_versions: 2 }", {3, 4}),
        ("latest { num_versions: 9 }", {1, 2, 3, 4}),
        ("all {}", {1, 2, 3, 4}),
        ("specific { versions: 1 versions: 3 versions: 8 }", {1, 3}),
    ],
)
def test_a_policy_chooses_versions(peer: Peer, policy: str, served: set[int]) -> None:
    for version in (2, 3, 4):
        peer.save(version)
    peer.wait(lambda: peer.scale()[1] == 4)
    peer.reload(peer.config(f"model_version_policy {{ {policy} }}"))
    peer.wait(lambda: {v for v, s in peer.states().items() if s == AVAILABLE} == served)
    peer.wait(lambda: not set(peer.states().values()) & {LOADING, 40})
    for version in served:
        assert peer.scale(version) == (float(version), version)
    assert peer.scale()[1] == max(served)


def test_a_specific_version_that_is_not_there_is_named_in_the_log_and_loaded_when_it_comes(
    peer: Peer,
) -> None:
    peer.reload(peer.config("model_version_policy { specific { versions: 1 versions: 3 } }"))
    text = f"Version 3 of servable {peer.name}, which was requested to be served as a 'specific' version"
    peer.wait(lambda: text in peer.server.log_text())
    peer.save(2)
    peer.save(3)
    peer.wait(lambda: peer.states().get(3) == AVAILABLE)
    assert peer.states() == {3: AVAILABLE, 1: AVAILABLE}
    assert peer.server.log_text().count(text) == 1


def test_a_version_that_cannot_be_is_waited_for_and_named(tmp_path: Path) -> None:
    """TensorFlow Serving waits without an end, too; here the log says for what."""
    (tmp_path / "toy" / "1").mkdir(parents=True)
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "toy" base_path: "{tmp_path / "toy"}" model_platform: "tensorflow" '
        "model_version_policy { specific { versions: -1 } } } }"
    )
    log = tmp_path / "log"
    command = [COMMAND, f"--port={free_port()}", f"--model_config_file={config}"]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            text = f"Waiting for version -1 of toy to appear in {tmp_path / 'toy'}."
            deadline = time.monotonic() + 60
            while text not in log.read_text():
                assert process.poll() is None
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
        finally:
            process.terminate()
            process.wait(timeout=30)


def test_two_models_do_not_disturb_each_other(peer: Peer) -> None:
    other = f"{peer.name}-other"
    peer.save(1, name=other, factor=5.0)
    peer.reload(peer.config(), peer.config(name=other))
    broken = peer.staged()
    (broken / "saved_model.pb").unlink()
    peer.publish(broken, 2)
    peer.save(2, name=other, factor=6.0)
    peer.wait(lambda: peer.scale(name=other) == (6.0, 2))
    shutil.rmtree(peer.models / peer.name)
    peer.save(3, name=other, factor=7.0)
    peer.wait(lambda: peer.scale(name=other) == (7.0, 3))
    assert peer.scale() == (1.0, 1)
