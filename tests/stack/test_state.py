"""State between commands survives damage, and two commands do not interleave."""

import pytest

from stack import state as states
from stack.errors import StackError
from stack.state import State


def test_saved_state_comes_back(tmp_path):
    saved = State("local", 1, 2, "fashion", pid=3)
    states.save(tmp_path, saved)
    assert states.load(tmp_path) == saved
    states.forget(tmp_path)
    assert states.load(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"engine": "local"}', '{"surprise": 1}'])
def test_a_damaged_state_file_counts_as_nothing_running(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    assert states.load(tmp_path) is None


def test_a_second_command_is_refused_while_one_is_at_work(tmp_path):
    with states.exclusive(tmp_path), pytest.raises(StackError, match="at work"), states.exclusive(tmp_path):
        pass
    with states.exclusive(tmp_path):
        pass
