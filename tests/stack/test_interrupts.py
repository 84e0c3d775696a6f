"""Ctrl-C at any stage of `make up` is answered in a sentence, and the same command goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.support.checkout import Checkout

STAGES = ("[1/4]", "[2/4]", "epoch  2/8", "[3/4]", "[4/4]")


@pytest.fixture
def clean(checkout: Checkout, request: pytest.FixtureRequest) -> Iterator[Checkout]:
    """A checkout for the engine of the test, cleaned afterwards."""
    if request.param == "compose":
        request.getfixturevalue("engine")
    checkout.settings["ENGINE"] = request.param
    try:
        yield checkout
    finally:
        checkout.make("clean", "FORCE=1")


@pytest.mark.timeout(1700)
@pytest.mark.parametrize("clean", ["local", "compose"], indirect=True)
def test_an_interrupted_make_up_says_so_and_goes_on(clean: Checkout) -> None:
    checkout = clean
    for stage in STAGES:
        text = _interrupt_at(checkout, stage)
        if stage not in text:
            # What an earlier attempt has finished is not done again.
            assert stage.startswith("epoch")
            continue
        assert "Interrupted" in text, text
        assert "Traceback" not in text, text
        assert _processes_of(checkout, "atelier-trainer", "pip install") == []
        checkout.make("ps")
    text = checkout.make("up")
    assert "Serving fashion version 1" in text


def _interrupt_at(checkout: Checkout, stage: str) -> str:
    """Run `make up` in a process group of its own, as a terminal does, and send the group SIGINT at a stage."""
    command = ["make", "--no-print-directory", "up", *(f"{k}={v}" for k, v in checkout.settings.items())]
    process = subprocess.Popen(
        command,
        cwd=checkout.path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines = []
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            lines.append(line)
            if line.startswith(stage):
                time.sleep(0.3)
                os.killpg(process.pid, signal.SIGINT)
    return "".join(lines)


def _processes_of(checkout: Checkout, *names: str) -> list[str]:
    """Command lines of processes that this checkout has started, but for the server."""
    seen = subprocess.run(["ps", "-axww", "-o", "command="], capture_output=True, text=True, check=True)
    return [
        line
        for line in seen.stdout.splitlines()
        if str(checkout.path) in line and any(name in line for name in names)
    ]
