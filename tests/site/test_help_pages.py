"""docs/reference: what the commands' `--help` says now."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("atelier-trainer", "atelier-serving", "atelier-client", "atelier-console")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    program = [sys.executable, "-W", "error", str(ROOT / "docs" / "tools" / "help_pages.py"), str(folder)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ATELIER_")}
    done = subprocess.run(
        program, cwd=folder, env=environ, capture_output=True, text=True, timeout=200, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def facts(text: str) -> list[str]:
    """The words of a page. Pythons fold the lines of `usage` in ways of their own."""
    return re.sub(r"^usage: (?:.*\n)+?(?=\n|```)", "", text, flags=re.MULTILINE).split()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_says_what_help_says(written: Path, command: str) -> None:
    name = f"{command}.md"
    now, page = (written / name).read_text(), (ROOT / "docs" / "reference" / name).read_text()
    assert facts(page) == facts(now), f"Run .venv/bin/python docs/tools/help_pages.py: {name} is not current."


@pytest.mark.parametrize(
    ("command", "least"),
    [("atelier-trainer", 12), ("atelier-serving", 30), ("atelier-client", 40), ("atelier-console", 10)],
)
def test_the_page_has_every_option(written: Path, command: str, least: int) -> None:
    assert len(set(re.findall(r"--[a-z][\w-]+", (written / f"{command}.md").read_text()))) >= least


def test_each_command_that_is_listed_has_a_section(written: Path) -> None:
    for command, least in (("atelier-trainer", 8), ("atelier-client", 12)):
        text = (written / f"{command}.md").read_text()
        listed = re.search(r"^(?:Commands:|  COMMAND)\n((?: .*\n)+)", text, re.MULTILINE)
        assert listed
        names = re.findall(r"^ {2,4}([a-z]+) ", listed[1], re.MULTILINE)
        assert len(names) >= least - 1
        for name in names:
            assert f"\n## {command} {name}\n" in text
