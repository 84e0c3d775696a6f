"""`.venv` is made by one command at a time."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from stack.engines import venv


def test_a_second_command_waits_for_the_first_and_installs_nothing_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    locks = [tmp_path / name / "requirements.lock" for name in venv.COMPONENTS]
    for lock in locks:
        lock.parent.mkdir()
        lock.write_text("# no package\n")
    found: list[Path] = []
    second = threading.Thread(target=lambda: found.append(venv.ensure(tmp_path)), daemon=True)
    with venv.alone(tmp_path):
        second.start()
        said = ""
        deadline = time.monotonic() + 30
        while "waiting for it" not in said and time.monotonic() < deadline:
            time.sleep(0.05)
            said += capsys.readouterr().err
        assert "Another make command is setting up .venv: waiting for it." in said
        # What the first command leaves when it has installed everything.
        stamp = tmp_path / ".venv" / "atelier-installed"
        stamp.parent.mkdir()
        lines = [f"{lock.parent.name}{lock.name} {venv._digest(lock, tmp_path)}\n" for lock in locks]
        stamp.write_text("".join(lines))
        assert second.is_alive()
    second.join(30)
    assert found == [tmp_path / ".venv" / "bin"]
    assert [path.name for path in (tmp_path / ".venv").iterdir()] == ["atelier-installed"]


def test_a_command_that_waited_for_clean_holds_the_lock_that_others_find(tmp_path: Path) -> None:
    path = tmp_path / ".atelier" / "venv.lock"
    held = threading.Event()
    done = threading.Event()

    def wait_and_hold() -> None:
        with venv.alone(tmp_path):
            held.set()
            done.wait(30)

    second = threading.Thread(target=wait_and_hold, daemon=True)
    with venv.alone(tmp_path):
        second.start()
        time.sleep(0.3)
        path.unlink()
        path.parent.rmdir()
    assert held.wait(30)
    third = threading.Thread(target=lambda: venv.alone(tmp_path).__enter__(), daemon=True)
    third.start()
    third.join(0.3)
    assert third.is_alive()
    done.set()
    third.join(30)
    assert not third.is_alive()
    second.join(30)
