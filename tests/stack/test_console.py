"""Long commands: output in a log, its end in the error, exit codes passed on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from stack.console import ProgressLine, run_logged, run_shown
from stack.errors import StepFailed


def test_a_failed_step_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "step.log"
    script = "import sys; [print('line', i) for i in range(50)]; sys.exit(7)"
    with pytest.raises(StepFailed, match=r"(?s)Step failed \(exit 7\).*line 49"):
        run_logged([sys.executable, "-c", script], "Step", log)
    assert len(log.read_text().splitlines()) == 50


def test_an_exit_code_is_passed_on() -> None:
    with pytest.raises(StepFailed) as failure:
        run_shown([sys.executable, "-c", "raise SystemExit(3)"], os.environ)
    assert failure.value.exit_code == 3


def test_the_engines_bookkeeping_is_not_shown_but_messages_are(capsys: pytest.CaptureFixture[str]) -> None:
    script = r"import sys; sys.stderr.write('Creating main_trainer_run ... done\nepoch 1\nAborting.\n')"
    run_shown([sys.executable, "-c", script], os.environ, quiet_engine=True)
    assert capsys.readouterr().err == "epoch 1\n"


def test_a_command_whose_service_is_gone_is_stopped() -> None:
    with pytest.raises(StepFailed):
        run_shown([sys.executable, "-c", "import time; time.sleep(60)"], os.environ, alive=lambda: False)


@pytest.mark.parametrize(
    ("text", "code", "shown"),
    [
        ("error: no such row\n2\n", 2, "error: no such row\n"),
        ("7\nerror: no such row\n", 2, "7\nerror: no such row\n"),
        ("7\n", 2, "7\n"),
        ("2\n2\n", 2, "2\n"),
    ],
)
def test_the_exit_code_that_docker_compose_prints_is_not_shown(
    capsys: pytest.CaptureFixture[str], text: str, code: int, shown: str
) -> None:
    script = f"import sys; sys.stderr.write({text!r}); sys.exit({code})"
    with pytest.raises(StepFailed):
        run_shown([sys.executable, "-c", script], os.environ, quiet_engine=True)
    assert capsys.readouterr().err == shown


def test_a_containers_messages_are_rewritten(capsys: pytest.CaptureFixture[str]) -> None:
    script = "import sys; sys.stderr.write('in /models\\n')"
    run_shown(
        [sys.executable, "-c", script], os.environ, quiet_engine=True, rewrite=lambda line: line.upper()
    )
    assert capsys.readouterr().err == "IN /MODELS\n"


def test_what_pip_says_of_replaced_packages_is_not_taken_for_news() -> None:
    progress = ProgressLine("Installing")
    progress.update("Installing collected packages: setuptools, numpy\n")
    progress.update("    Found existing installation: setuptools 66.1.1\n")
    progress.update("      Successfully uninstalled setuptools-66.1.1\n")
    assert progress.latest == "Installing collected packages: setuptools, numpy"
