"""Standard streams that the caller has closed, or that cannot be written: nothing goes where it does not belong."""

import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
WRONG = {
    "atelier-trainer": ("train no-such-job", 2),
    "atelier-client": ("status --model x --models nowhere --no-such-flag", 2),
    "atelier-serving": ("--no_such_flag", 255),
}


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f"exec {BIN}/{line}"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", WRONG)
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_an_error_does_not_change_its_stream(tmp_path: Path, command: str, closed: str) -> None:
    """Python prints on stdout what is meant for a stderr that is closed; a program that reads it would be misled."""
    arguments, code = WRONG[command]
    usual = run(f"{command} {arguments}", tmp_path)
    done = run(f"{command} {arguments} {closed}", tmp_path)
    assert (usual.returncode, done.returncode) == (code, code)
    assert done.stdout == ("" if ">&-" in closed.replace("2>&-", "") else usual.stdout)
    assert done.stderr == ("" if "2>&-" in closed else usual.stderr)


@pytest.mark.parametrize("command", WRONG)
def test_an_output_that_is_full_is_no_stack_trace(tmp_path: Path, command: str) -> None:
    done = run(f"{command} --help >/dev/full", tmp_path)
    assert "Traceback" not in done.stderr
