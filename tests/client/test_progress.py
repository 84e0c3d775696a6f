"""Progress is a bar with rate and time left at a terminal, lines in a log, nothing for what is short."""

import os
import pty
import subprocess
import sys
from typing import Any

SCRIPT = """
import time
from atelier_client.evaluation import progress
progress._LINE_SECONDS = 0.2
with progress.Progress({total}, "evaluate fashion") as shown:
    for step in range({steps}):
        shown.advance(100)
        time.sleep(0.05)
        if step == 20:
            shown.waiting("it is away")
            shown.waiting(None)
"""


def run(total: Any, steps: Any, stderr: Any) -> Any:
    command = [sys.executable, "-c", SCRIPT.format(total=total, steps=steps)]
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    return subprocess.run(command, stderr=stderr, text=True, timeout=60, check=True, env=environ)


def test_a_log_gets_a_line_now_and_then() -> None:
    lines = run(4000, 30, subprocess.PIPE).stderr.splitlines()
    assert "Waiting for the server: it is away" in lines
    assert "The server answers again." in lines
    counted = [line for line in lines if line.startswith("evaluate fashion: ")]
    assert 1 <= len(counted) <= 8
    assert " of 4,000 (" in counted[0]
    assert "/s, " in counted[0]
    assert counted[0].endswith(" s left")
    assert "examples, " in run("None", 30, subprocess.PIPE).stderr


def test_a_terminal_gets_a_bar() -> None:
    main, other = pty.openpty()
    try:
        run(4000, 30, other)
        shown = os.read(main, 1 << 20).decode()
    finally:
        os.close(other)
        os.close(main)
    for words in ("evaluate fashion", "/4000", "/s", "0:00:0"):
        assert words in shown, words


def test_what_is_short_says_nothing() -> None:
    assert run(1000, 3, subprocess.PIPE).stderr == ""
