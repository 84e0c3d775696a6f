"""The commands a person types first, and the tools that come with the trainer."""

import subprocess
import sys
from pathlib import Path

import atelier_trainer
import pytest

BIN = Path(sys.executable).parent


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / command[0], *command[1:]], capture_output=True, text=True, check=False)


def test_the_version_is_the_package_s() -> None:
    done = run("atelier-trainer", "--version")
    assert done.stdout == f"atelier-trainer {atelier_trainer.__version__}\n"
    assert done.returncode == 0


@pytest.mark.parametrize("command", ["train", "evaluate", "study", "compare", "save", "restore", "data"])
def test_each_command_explains_itself(command: str) -> None:
    done = run("atelier-trainer", command, "--help")
    assert done.returncode == 0, done.stderr
    assert f"atelier-trainer {command}" in done.stdout


def test_tensorboard_starts() -> None:
    """It imports pkg_resources, which setuptools has dropped: the lock keeps a release that has it."""
    done = run("tensorboard", "--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
