"""The code blocks of the documents, and the command lines in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
# Those of docs/reference are written from `--help`, and compared with it.
PAGES = sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
_PROGRAMS = (
    *("make", "atelier-", "pip", "openssl", "model_signing", "python", ".venv/bin/", "echo", "pytest"),
    *("curl", "docker", "id=", "kubectl"),
)
# Before a command, as NAME=value or NAME='a value'.
_SETTINGS = re.compile(r"^(?:[A-Z_]+=(?:'[^']*'|\S+)(?: |$))+")


@dataclass(frozen=True)
class Block:
    """A fenced or indented block: where it stands, what is written behind the fence, and its text."""

    page: str
    line: int
    info: str
    text: str

    @property
    def name(self) -> str:
        """How tables name it: the page and its first line, without what explains it."""
        return f"{self.page}: {without_remark(self.text.splitlines()[0])}"

    @property
    def commands(self) -> list[str]:
        """Its command lines, without remarks; none when it is no block of commands."""
        lines = [without_remark(line).strip().removeprefix("$ ") for line in self.text.splitlines()]
        typed = [line for line in lines if _SETTINGS.sub("", line).startswith(("\\", *_PROGRAMS))]
        return typed if lines[0] in typed else []


def without_remark(line: str) -> str:
    """The line without its remark and the spaces before that."""
    return re.sub(r"\s+#\s.*", "", line).rstrip()


def blocks() -> list[Block]:
    """Every block of every page, but for diagrams."""
    found = []
    for page in PAGES:
        tokens = MarkdownIt("commonmark").parse((ROOT / page).read_text(encoding="utf-8"))
        for token in tokens:
            if token.type in ("fence", "code_block") and token.info != "mermaid" and token.map:
                found.append(Block(page, token.map[0] + 1, token.info, token.content))
    return found


def spans() -> list[tuple[str, str]]:
    """(page, text) of every command that stands within a line, as `atelier-client drift --json`."""
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        found += [(page, span) for span in re.findall(r"`(atelier-[a-z]+ [^`\n]+)`", text)]
    return found
