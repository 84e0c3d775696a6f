"""State between commands survives damage, and two commands do not interleave."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from stack import files
from stack import state as states
from stack.console import run_logged
from stack.engines.build import Built
from stack.engines.local import Local
from stack.errors import StackError
from stack.settings import read_settings
from stack.state import State


def test_saved_state_comes_back(tmp_path: Path) -> None:
    saved = State("local", 1, 2, "fashion", pid=3)
    states.save(tmp_path, saved)
    assert states.load(tmp_path) == saved
    states.forget(tmp_path)
    assert states.load(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"engine": "local"}', '{"surprise": 1}'])
def test_a_damaged_state_file_counts_as_nothing_running(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    assert states.load(tmp_path) is None
    assert states.damaged(tmp_path)


@pytest.mark.parametrize("name", ["engine", "grpc_port", "jobs", "done", "pid"])
def test_a_value_of_the_wrong_type_is_damage(tmp_path: Path, name: str) -> None:
    document = asdict(State("local", 1, 2, "fashion")) | {name: None}
    (tmp_path / "state.json").write_text(json.dumps(document))
    assert states.load(tmp_path) is None
    assert states.damaged(tmp_path)


def test_no_state_file_is_no_damage(tmp_path: Path) -> None:
    assert not states.damaged(tmp_path)


def put(kind: str, path: Path, victim: Path) -> None:
    """Something that is no file of the stack's, under the name of one."""
    victim.write_text("kept")
    if kind == "folder":
        path.mkdir(parents=True)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(victim if kind == "link" else "/nonexistent/place")


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "folder"])
@pytest.mark.parametrize(
    "name", ["lock", "state.json", "state.json.new", "serving.log", "x.log", "images.json"]
)
def test_what_stands_in_a_files_place_is_neither_followed_nor_waited_for(
    tmp_path: Path, name: str, kind: str
) -> None:
    folder, victim = tmp_path / ".atelier", tmp_path / "precious"
    folder.mkdir()
    put(kind, folder / name, victim)
    settings = read_settings(tmp_path, {})
    actions: dict[str, Callable[[], object]] = {
        "lock": lambda: states.exclusive(folder).__enter__(),
        "state.json": lambda: states.forget(folder) if states.load(folder) is None else None,
        "state.json.new": lambda: states.save(folder, State("local", 1, 2, "fashion")),
        "serving.log": lambda: (Local(settings).log_tail(), files.open_own(folder / name)),
        "x.log": lambda: run_logged(["true"], "A step", folder / name),
        "images.json": lambda: Built(tmp_path, folder),
    }
    with contextlib.suppress(StackError, OSError):
        actions[name]()
    assert victim.read_text() == "kept"
    assert not Path("/nonexistent").exists()


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_what_stands_in_the_locks_place_is_named(tmp_path: Path, kind: str) -> None:
    put(kind, tmp_path / "lock", tmp_path / "precious")
    with (
        pytest.raises(StackError, match=r"lock: make writes here, and found .* Remove it"),
        states.exclusive(tmp_path),
    ):
        pass


def test_a_second_command_is_refused_while_one_is_at_work(tmp_path: Path) -> None:
    with states.exclusive(tmp_path), pytest.raises(StackError, match="at work"), states.exclusive(tmp_path):
        pass
    with states.exclusive(tmp_path):
        pass
