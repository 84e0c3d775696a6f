"""A full disk under `.atelier`: it is named, nothing runs on unknown, and what makes room works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.console import run_logged
from stack.engines import processes
from stack.engines.local import Local
from stack.errors import StepFailed
from stack.settings import read_settings
from stack.state import State


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """`.atelier` of a checkout, on a disk without a free byte."""
    folder = tmp_path / ".atelier"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    (folder / "filler").write_text("x")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_command_runs_without_its_log_and_shows_its_end(full: Path) -> None:
    run_logged([sys.executable, "-c", "print('a line')"], "Step", full / "step.log")
    with pytest.raises(StepFailed, match="the reason"):
        run_logged(
            [sys.executable, "-c", "raise SystemExit('the reason')"], "Step", full / "logs" / "step.log"
        )


def test_a_server_that_cannot_be_remembered_does_not_stay(full: Path) -> None:
    script = full.parent / ".venv" / "bin" / "atelier-serving"
    script.parent.mkdir(parents=True)
    script.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    script.chmod(0o755)
    engine = Local(read_settings(full.parent, {}))
    with pytest.raises(OSError, match=r"No space left on device.*state\.json"):
        engine.serve(State("local", 1, 2, "model"))
    assert processes.find(processes.script(full.parent, "atelier-serving")) == []
