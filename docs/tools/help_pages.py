"""`.venv/bin/python docs/tools/help_pages.py [FOLDER]` writes docs/reference/COMMAND.md from each command's `--help`.

Run it after a change of an option or a command; a test compares the pages with what the commands print.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from importlib.metadata import entry_points
from pathlib import Path

COMMANDS = ("atelier-trainer", "atelier-serving", "atelier-client", "atelier-console")
FOLDER = Path(__file__).parents[1] / "reference"
# A subcommand in a list of them: under "Commands:" (typer) or "COMMAND" (argparse).
_LISTED = re.compile(r"^ {2,4}([a-z][a-z-]*)(?: |$)", re.MULTILINE)
_LIST = re.compile(r"^(?:Commands:|  COMMAND)\n((?: .*\n)+)", re.MULTILINE)


def help_of(*words: str) -> str:
    """What `words --help` prints; the first word is an installed command. Raises `RuntimeError` when it fails."""
    [script] = entry_points(group="console_scripts", name=words[0])
    printed = io.StringIO()
    before, sys.argv = sys.argv, [*words, "--help"]
    code: object = None
    try:
        with contextlib.redirect_stdout(printed):
            script.load()()
    except SystemExit as stop:
        code = stop.code
    finally:
        sys.argv = before
    if code not in (None, 0):
        raise RuntimeError(f"{' '.join(words)} --help ended with exit code {code}.")
    return "".join(f"{line.rstrip()}\n" for line in printed.getvalue().strip().splitlines())


def subcommands(text: str) -> list[str]:
    """The subcommands that a help text lists, in its order."""
    listed = _LIST.search(text)
    return list(dict.fromkeys(_LISTED.findall(listed[1]))) if listed else []


def page(command: str) -> str:
    """The page of a command: its help, then that of each subcommand."""
    text = help_of(command)
    parts = [f"# {command}\n\nWritten from `--help` by docs/tools/help_pages.py.\n", _block(text)]
    waiting = [[command, name] for name in subcommands(text)]
    while waiting:
        words = waiting.pop(0)
        text = help_of(*words)
        parts += [f"{'#' * len(words)} {' '.join(words)}\n", _block(text)]
        waiting[:0] = [[*words, name] for name in subcommands(text)]
    return "\n".join(parts)


def _block(text: str) -> str:
    return f"```text\n{text}```\n"


def write(folder: Path) -> None:
    """Write all pages into `folder`."""
    # argparse and click fold the lines at this width.
    os.environ["COLUMNS"] = "100"
    folder.mkdir(parents=True, exist_ok=True)
    for command in COMMANDS:
        (folder / f"{command}.md").write_text(page(command), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
