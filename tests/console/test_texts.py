"""All English of the console stands in one file."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from atelier_console.texts import SCRIPT, TEXTS

ROOT = Path(__file__).resolve().parents[2] / "console" / "atelier_console"
_KEY = re.compile(r'\bt\.(\w+)|\bsay\(\s*"(\w+)"|\btexts\.(\w+)')
# Those whose end is a value: t["line_" ~ key].
_BUILT = ("line_", "tile_", "about_", "nav_", "now_")


def test_each_text_is_used_and_each_used_one_is_there() -> None:
    used: set[str] = set(SCRIPT)
    for path in [*ROOT.rglob("*.py"), *ROOT.rglob("*.j2"), *ROOT.rglob("*.js")]:
        if path.name != "texts.py":
            found = _KEY.findall(path.read_text(encoding="utf-8"))
            used |= {key for keys in found for key in keys if key}
    assert used <= set(TEXTS)
    # A key may also be chosen: it stands in the module as a text.
    for path in ROOT.rglob("*.py"):
        if path.name != "texts.py":
            used |= set(re.findall(r'"(\w+)"', path.read_text(encoding="utf-8")))
    left = {key for key in set(TEXTS) - used if not key.startswith(_BUILT)}
    assert left == set()


def test_templates_hold_no_words_of_their_own() -> None:
    for path in ROOT.rglob("*.j2"):
        text = re.sub(
            r"\{[{%#].*?[}%#]\}|<[^>]*>|&\w+;", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL
        )
        words = set(re.findall(r"[A-Za-z]{3,}", text))
        assert words <= {"canary"}, path.name


def test_pages_hold_no_sentences_of_their_own() -> None:
    """A text of several words in the modules of pages and answers is a docstring, or stands in texts.py."""
    for room in ("pages", "trying", "feedback", "inputs", "live"):
        for path in (ROOT / room).glob("*.py"):
            if path.name == "lines.py":
                # Its lines of Python are no English.
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            docs = {
                id(node.body[0].value)
                for node in ast.walk(tree)
                if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
                and node.body
                and isinstance(node.body[0], ast.Expr)
            }
            sentences = [
                node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in docs
                and re.search(r"[A-Z]\w+ \w+ \w+", node.value)
            ]
            assert sentences == [], path.name
