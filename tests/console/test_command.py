"""The command: options, what is guessed, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.console import COMMAND, running_console
from tests.support.ports import free_port


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ATELIER_")}
    return subprocess.run(
        [COMMAND, *arguments],
        env={**inherited, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_has_examples() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "atelier-console --target 127.0.0.1:8500 --models models --data data" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--host=0.0.0.0"], "give a token"),
        (["--host=0.0.0.0", "--token=short"], "expected 16 or more"),
        (["--host=nowhere.invalid"], "give a token"),
        (["--port=70000"], "expected a port from 1 to 65535"),
        (["--target=nonsense"], "target 'nonsense' is not an address"),
        (["--target=http://"], "target 'http://' is not an address"),
        (["--target=a b:1"], "target 'a b:1' is not an address"),
        (["--rest=http://"], "target 'http://' is not an address"),
        (["--target=unix:/x"], "REST address of unix:/x cannot be guessed"),
        (["--rest=127.0.0.1:8501"], "expected http://HOST:PORT"),
        (["--models=/dev/null"], "expected a folder"),
    ],
)
def test_settings_that_cannot_work_are_said(arguments: list[str], sentence: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with running_console(tmp_path, "127.0.0.1:1") as console:
        done = run(f"--port={console.url.rpartition(':')[2]}")
    assert done.returncode == 1
    assert "Give another port" in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_it_ends_when_told(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with running_console(tmp_path, f"127.0.0.1:{free_port()}") as console:
        assert f"The console: {console.url}/" in console.log_text()
        assert "REST is looked for at" in console.log_text()
        console.process.send_signal(number)
        assert console.process.wait(timeout=20) == code
        assert "Traceback" not in console.log_text()


def test_it_starts_without_anything_to_show(tmp_path: Path) -> None:
    """Neither a server nor a folder is there: the pages say so."""
    with running_console(tmp_path, f"127.0.0.1:{free_port()}") as console:
        status, page = console.get("/try")
        assert status == 404
        assert "There is no model to show" in page
        assert f"There is no folder {tmp_path / 'models'} yet" in console.log_text()
        status, page = console.get("/try?model=shoes")
        assert "no model" in page
