"""`python -m docs.tools.recording FILE.svg COMMAND ..` runs a command and draws what it printed as a terminal.

The picture on the first page: `.venv/bin/python -m docs.tools.recording docs/make-up.svg make up ENGINE=local`.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

WIDTH = 120
ROOT = Path(__file__).parents[2]
# Rich's frame names fonts of a network; the reader's own will do.
_FRAME = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def run(command: Sequence[str]) -> tuple[int, str]:
    """(exit code, stdout and stderr in their order, without this machine's folders); prints it meanwhile."""
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode, without_places("".join(lines))


def without_places(printed: str) -> str:
    """The text without this machine's folders: the checkout's, and those of copies of the data."""
    for name in ("ATELIER_FASHION_MNIST", "ATELIER_IMDB"):
        if place := os.environ.get(name):
            printed = printed.replace(place, f"${name}")
    return printed.replace(str(ROOT), "~/atelier")


def svg(command: Sequence[str], printed: str) -> str:
    """The terminal in which the command was typed and has printed; SVG that needs nothing from elsewhere."""
    title = shlex.join(command)
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), color_system="truecolor", force_terminal=True
    )
    console.print(Text.assemble(("$ ", "bold green"), (title, "bold")))
    console.print(Text.from_ansi(printed.rstrip("\n")))
    return console.export_svg(title=title, theme=MONOKAI, code_format=_FRAME, unique_id="recording")


if __name__ == "__main__":
    code, printed = run(sys.argv[2:])
    if code == 0:
        Path(sys.argv[1]).write_text(svg(sys.argv[2:], printed), encoding="utf-8")
    sys.exit(code)
