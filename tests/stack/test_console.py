"""Long commands: output in a log, its end in the error, exit codes passed on."""

import os
import sys

import pytest

from stack.console import run_logged, run_shown
from stack.errors import StepFailed


def test_a_failed_step_shows_the_end_of_its_log(tmp_path):
    log = tmp_path / "logs" / "step.log"
    script = "import sys; [print('line', i) for i in range(50)]; sys.exit(7)"
    with pytest.raises(StepFailed, match=r"(?s)Step failed \(exit 7\).*line 49"):
        run_logged([sys.executable, "-c", script], "Step", log)
    assert len(log.read_text().splitlines()) == 50


def test_an_exit_code_is_passed_on():
    with pytest.raises(StepFailed) as failure:
        run_shown([sys.executable, "-c", "raise SystemExit(3)"], os.environ)
    assert failure.value.exit_code == 3


def test_the_engines_bookkeeping_is_not_shown_but_messages_are(capsys):
    script = r"import sys; sys.stderr.write('Creating main_trainer_run ... done\nepoch 1\n')"
    run_shown([sys.executable, "-c", script], os.environ, quiet_engine=True)
    assert capsys.readouterr().err == "epoch 1\n"


def test_a_command_whose_service_is_gone_is_stopped():
    with pytest.raises(StepFailed):
        run_shown([sys.executable, "-c", "import time; time.sleep(60)"], os.environ, alive=lambda: False)
