"""docs/benchmarks.md: a section a part, each as it was last measured."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.row import ROOT, Row

PATH = ROOT / "docs" / "benchmarks.md"
INTRODUCTION = """# Benchmarks

`make bench` measures every part and writes this page, `make bench PART=client` one part. Each ratio is taken within one
run; a target that was missed stays here as it was measured.
"""


def write_section(part: str, rows: Sequence[Row], note: str, path: Path = PATH) -> str:
    """Replace a part's section, keep the others; return the section."""
    machine = f"{os.cpu_count()} cores ({platform.machine()}, no GPU), Python {platform.python_version()}"
    words = {True: "yes", False: "no", None: ""}
    lines = [f"| {row.what} | {row.measured} | {row.target} | {words[row.met]} |" for row in rows]
    section = "\n".join(
        [
            f"## {part}",
            "",
            f"Measured on {datetime.now(UTC):%Y-%m-%d} with `make bench PART={part}` on {machine}.",
            "",
            "| what | measured | target | met |",
            "|---|---|---|---|",
            *lines,
            "",
            note,
            "",
        ]
    )
    sections = _sections(path) | {part: section}
    path.write_text("\n".join([INTRODUCTION, *sections.values()]), encoding="utf-8")
    return section


def _sections(path: Path) -> dict[str, str]:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = re.findall(r"^## (\S+)\n.*?(?=^## |\Z)", text, re.S | re.M)
    bodies = re.findall(r"^## \S+\n.*?(?=^## |\Z)", text, re.S | re.M)
    return {name: body.rstrip() + "\n" for name, body in zip(found, bodies, strict=True)}
