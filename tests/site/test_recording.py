"""Terminal recordings: what was printed, in a picture that needs nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.support.site import ROOT


def text_of(picture: Path) -> str:
    """The lines in the picture."""
    root = ET.parse(picture).getroot()
    lines = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    return "\n".join(lines).replace("\xa0", " ")


def elsewhere(picture: Path) -> list[str]:
    """Addresses that a browser would ask when it draws the picture."""
    return re.findall(r"(?:url\(|href=)[\"']?((?:[a-z]+:)?//[^\"')]+)", picture.read_text(encoding="utf-8"))


def record(target: Path, program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "docs.tools.recording", str(target), sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_command_is_run_and_drawn(tmp_path: Path) -> None:
    program = "import sys; print('first', flush=True); print('\\033[31msecond\\033[0m <&>', file=sys.stderr)"
    done = record(tmp_path / "run.svg", program)
    assert done.returncode == 0, done.stderr
    lines = text_of(tmp_path / "run.svg")
    assert re.search(r"\$.*first\s+second\s+<&>", lines, re.DOTALL)
    assert elsewhere(tmp_path / "run.svg") == []


def test_a_command_that_fails_is_not_drawn(tmp_path: Path) -> None:
    assert record(tmp_path / "run.svg", "raise SystemExit(3)").returncode == 3
    assert not (tmp_path / "run.svg").exists()


def test_the_first_page_shows_a_whole_run() -> None:
    picture = ROOT / "docs" / "make-up.svg"
    assert "(make-up.svg)" in (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    lines = text_of(picture)
    for said in ("make up", "[1/4]", "[2/4]", "[3/4]", "[4/4]", "accuracy", "make down"):
        assert said in lines
    assert elsewhere(picture) == []
    assert not re.search(r"(?<!~)/(?:home|root|tmp|work|Users)/", lines)
