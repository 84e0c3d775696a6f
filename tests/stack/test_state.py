"""State between commands survives damage, and two commands do not interleave."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from stack import state as states
from stack.errors import StackError
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


def test_the_lock_does_not_write_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(StackError, match="cannot be written"), states.exclusive(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_second_command_is_refused_while_one_is_at_work(tmp_path: Path) -> None:
    with states.exclusive(tmp_path), pytest.raises(StackError, match="at work"), states.exclusive(tmp_path):
        pass
    with states.exclusive(tmp_path):
        pass
