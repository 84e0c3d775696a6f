"""What gets in a release's way: other commands, training, editors, full disks, and things under its files' names."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from atelier_client import Client
from atelier_client.errors import NotAllowed
from atelier_client.release.config_text import read

from tests.support.client_command import COMMAND
from tests.support.kills import prepared
from tests.support.models import publish_untrained
from tests.support.releases import FLAGS, Releases, releases
from tests.support.server import running_server

_FORCED = ("--force", "--reason", "r")
_OTHER = '  config {{\n    name: "other"  # mine\n    base_path: "{folder}"\n    model_platform: "tensorflow"\n  }}\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    with releases(tmp_path_factory.mktemp("disturbed")) as found:
        yield found


@pytest.fixture
def repo(made: Releases) -> Releases:
    """Version 1 is stable, and its first release is in the record."""
    made.restore(prepared(made, (1,)))
    made.rules()
    return made


def test_commands_at_once_do_not_interleave(repo: Releases) -> None:
    """Two releases and a rollback, started together. Whoever wins, the state is whole, and every line of the record."""
    for _ in range(2):
        commands = [
            repo.start("release", 2, *_FORCED, how=(0, "count")),
            repo.start("release", 3, *_FORCED, how=(0, "count")),
            repo.start("rollback", how=(0, "count")),
        ]
        said = [process.communicate(timeout=120)[1] for process in commands]
        codes = [process.returncode for process in commands]
        assert not any("Traceback" in text for text in said), said
        # Of two releases under way one is refused; a rollback may end the other, or find nothing to go back to. Where
        # one has ended before the other begins, both are done.
        assert set(codes) <= {0, 1, 2}, said
        repo.settled()
        served = repo.repository.served()
        assert served.stable is not None
        assert served.canary is None
        assert repo.stable_versions()[-1] == served.stable
        lines = (repo.models / "rollouts.jsonl").read_bytes().splitlines()
        assert all(json.loads(line) for line in lines)


def test_a_release_and_a_training_publish_at_once(repo: Releases) -> None:
    """The trainer lists a new model in models.config while a release changes it, and publishes the next version."""
    config = repo.models / "models.config"
    with repo.start("release", 2, *_FORCED, "--ramp", "50", "--hold", "5s") as release:
        publish_untrained(repo.models, "other", seed=7)
        newest = publish_untrained(repo.models, seed=8)
        _, err = release.communicate(timeout=120)
    assert release.returncode == 0, err
    assert newest.name == "4"
    assert repo.state()["labels"] == {"stable": 2, "previous": 1}
    listed = {entry.name for entry in read(config.read_text(), config).model_config_list.config}
    assert listed == {"fashion", "other"}
    with Client(repo.server.grpc, "other") as client:
        assert client.wait_ready(30) == 1
    # The new version is nobody's yet.
    repo.wait_loaded(1, 2)


def test_edits_by_hand_are_neither_lost_nor_in_the_way(repo: Releases) -> None:
    """Comments are added and another model's entry is changed, a few times a second, through two releases."""
    config = repo.models / "models.config"
    shutil.copytree(repo.kept / "1", repo.models / "other" / "1", dirs_exist_ok=True)
    text = config.read_text().rstrip().removesuffix("}")
    config.write_text(f"{text}{_OTHER.format(folder=repo.models / 'other')}}}\n")
    stop = threading.Event()
    notes: list[str] = []

    def edit() -> None:
        while not stop.wait(0.1):
            notes.append(f"# note {len(notes)}\n")
            if len(notes) % 2:
                with config.open("a") as handle:
                    handle.write(notes[-1])
            else:
                # In place, as an editor does it: for a moment the file is empty.
                before = config.read_text()
                config.write_text(before.replace("  # mine", f"  # mine\n    {notes[-1].strip()}", 1))

    editor = threading.Thread(target=edit)
    editor.start()
    try:
        for version in (2, 3):
            done = repo.run("release", version, *_FORCED, how=(0, "count"))
            assert done.returncode == 0, done.stderr
    finally:
        stop.set()
        editor.join()
    text = config.read_text()
    assert [note for note in notes if note not in text] == []
    assert len(notes) > 4
    assert repo.stable_versions() == [1, 2, 3]
    assert {entry.name for entry in read(text, config).model_config_list.config} == {"fashion", "other"}


@pytest.mark.parametrize("write", [1, 3, 9, 12, 15, 18])
def test_a_full_disk_is_said_and_the_same_command_goes_on(repo: Releases, write: int) -> None:
    """From that write on nothing can be written. `stable` is the one or the other version, and answers."""
    done = repo.run("release", 2, how=(write, "full"))
    assert done.returncode == 1, done.stderr
    assert "No space left on device" in done.stderr
    assert str(repo.models) in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert repo.label("stable") in (1, 2)
    assert repo.run("release", 2, how=(0, "count")).returncode == 0
    repo.settled()
    assert repo.stable_versions() == [1, 2]
    assert repo.state()["labels"] == {"stable": 2, "previous": 1}
    assert repo.state()["leftovers"] == []


@pytest.mark.parametrize(
    "name", ["rollouts.jsonl", ".rollouts.lock", "fashion/.release.lock", ".models.config.lock"]
)
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_something_else_under_a_files_name_is_named_and_left_alone(
    repo: Releases, name: str, kind: str, tmp_path: Path
) -> None:
    path, aside, target = repo.models / name, tmp_path / "aside", tmp_path / "target"
    target.write_text("somebody's")
    if path.exists():
        path.rename(aside)
    match kind:
        case "link":
            path.symlink_to(target)
        case "pipe":
            os.mkfifo(path)
        case _:
            path.mkdir()
    try:
        done = repo.run("release", 2, how=(0, "count"))
        assert done.returncode in (1, 2), done.stderr
        assert str(path) in done.stderr
        assert "Traceback" not in done.stderr
        assert target.read_text() == "somebody's"
        assert repo.label("stable") == 1
    finally:
        path.rmdir() if kind == "folder" else path.unlink()
        if aside.exists():
            aside.rename(path)
    assert repo.run("release", 2, how=(0, "count")).returncode == 0


@pytest.mark.parametrize("command", ["release", "rollback"])
def test_a_command_without_the_right_to_write_says_so(repo: Releases, command: str) -> None:
    """Root writes everywhere, unless it gives that right away."""
    assert repo.run("release", 2, *_FORCED, how=(0, "count")).returncode == 0
    rights = "-dac_override,-dac_read_search"
    without = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"] if os.getuid() == 0 else []
    words = [*without, COMMAND, command, "--model", "fashion", "--target", repo.server.grpc]
    repo.models.chmod(0o555)
    try:
        words += ["--models", str(repo.models)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    finally:
        repo.models.chmod(0o755)
    assert done.returncode == 1, done.stderr
    assert "Permission denied" in done.stderr
    assert str(repo.models) in done.stderr
    assert "Traceback" not in done.stderr
    assert repo.label("stable") == 2


def test_two_servers_of_which_one_only_polls(repo: Releases, tmp_path: Path) -> None:
    """A step is done when both are there; a rollback too."""
    polls = (f"--model_config_file={repo.models / 'models.config'}", *FLAGS, f"--reload_from={tmp_path}")
    with running_server(repo.models, *polls) as second:
        with Client(second.grpc, "fashion") as client, pytest.raises(NotAllowed):
            client.reload(repo.repository.config().SerializeToString())
        both = f"{repo.server.grpc},{second.grpc}"
        for words, stable in ((("release", 2), 2), (("rollback",), 1)):
            done = repo.run(*words, how=(0, "count"), ATELIER_TARGET=both)
            assert done.returncode == 0, done.stderr
            for target in both.split(","):
                with Client(target, "fashion") as client:
                    assert client.version_of("stable") == stable


def test_the_golden_examples_are_asked_from_each_server(repo: Releases, tmp_path: Path) -> None:
    """The second server follows a file of its own, late, and by then the version's weights are others."""
    shutil.copytree(repo.kept / "2", repo.models / "fashion" / "4")
    own = tmp_path / "own.config"
    shutil.copy(repo.models / "models.config", own)
    slow = (f"--model_config_file={own}", *FLAGS, f"--reload_from={tmp_path}")
    with running_server(repo.models, *slow) as second:
        both = f"{repo.server.grpc},{second.grpc}"
        with repo.start("release", 4, how=(0, "count"), ATELIER_TARGET=both) as release:
            _await(lambda: 4 in repo.available(), release)
            shutil.copytree(
                repo.kept / "3" / "variables", repo.models / "fashion" / "4" / "variables", dirs_exist_ok=True
            )
            shutil.copy(repo.models / "models.config", own)
            _, err = release.communicate(timeout=120)
    assert release.returncode == 1, err
    assert "Version 4 is rejected" in err
    assert f"{second.grpc}: " in err
    assert "golden examples wrongly" in err
    assert repo.state()["labels"] == {"stable": 1}


def _await(done: object, process: subprocess.Popen[str]) -> None:
    assert callable(done)
    deadline = time.monotonic() + 60
    while not done():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_version_that_is_being_unloaded_is_deleted_when_it_is_gone(repo: Releases) -> None:
    """One release is enough: what it has dropped itself, it deletes as well."""
    assert repo.run("release", 2, *_FORCED, how=(0, "count")).returncode == 0
    done = repo.run("release", 3, *_FORCED, "--keep", 1, how=(0, "count"))
    assert done.returncode == 0, done.stderr
    assert repo.repository.versions() == [2, 3]


def test_a_rollback_that_no_server_saw_is_seen_through_by_the_same_command(repo: Releases) -> None:
    """It ended with exit 3 after its step. Given again, it does not go forward to where it came from."""
    assert repo.run("release", 2, *_FORCED, how=(0, "count")).returncode == 0
    repo.server.process.send_signal(signal.SIGSTOP)
    try:
        lost = repo.run("rollback", "--timeout", 1, how=(0, "count"))
    finally:
        repo.server.process.send_signal(signal.SIGCONT)
    assert lost.returncode == 3, lost.stderr
    again = repo.run("rollback", how=(0, "count"))
    assert again.returncode == 0, again.stderr
    repo.settled()
    assert (repo.label("stable"), repo.label("previous")) == (1, 2)
    # The one after it is a new one.
    assert repo.run("rollback", how=(0, "count")).returncode == 0
    assert repo.stable_versions() == [1, 2, 1, 2]


def test_a_server_that_does_not_answer_is_no_fault_of_the_candidate(repo: Releases) -> None:
    """It is gone when the label has to be there: the release is ended, not rejected."""
    flags = (f"--model_config_file={repo.models / 'models.config'}", *FLAGS)
    with running_server(repo.models, *flags) as second:
        both = f"{repo.server.grpc},{second.grpc}"
        with repo.start("release", 2, how=(12, "wait"), ATELIER_TARGET=both) as release:
            _await(lambda: _halted(release.pid), release)
            second.process.kill()
            second.process.wait()
            release.send_signal(signal.SIGCONT)
            _, err = release.communicate(timeout=120)
    assert release.returncode == 3, err
    assert "does not answer" in err
    assert repo.entries()[-1].event == "aborted"


def _halted(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
