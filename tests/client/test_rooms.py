"""How loosely the client's rooms hang together, and what of them is public."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import atelier_client
import pytest

from tests.support.import_graph import ImportGraph

# Imports from one room into another.
ARROWS = 340
PUBLIC = {"atelier_client.errors", "atelier_client.request_log", "atelier_client.testing"}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def graph() -> ImportGraph:
    return ImportGraph.read(Path(atelier_client.__file__).parent)


def test_rooms_are_as_loosely_coupled_as_they_were(graph: ImportGraph) -> None:
    assert len(graph.arrows()) <= ARROWS


def test_the_documented_names_are_the_exported_ones() -> None:
    text = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(atelier_client[.\w]*)` \| (`.*`) \|$", text, re.MULTILINE)
    documented = {module: sorted(re.findall(r"`(\w+)`", names)) for module, names in rows}
    assert set(documented) == {"atelier_client", *PUBLIC}
    for module, names in documented.items():
        exported = importlib.import_module(module)
        assert names == sorted(exported.__all__)
        assert all(hasattr(exported, name) for name in names)


def test_every_other_module_says_that_it_is_internal(graph: ImportGraph) -> None:
    """By an underscore, by its package's words, or because it is where an exported name stands."""
    homes = {getattr(atelier_client, name).__module__ for name in atelier_client.__all__ if name[0] != "_"}
    public = {"atelier_client", *PUBLIC, *homes}
    for name, path in graph.files.items():
        if graph.room(name) == "atelier_client":
            assert name in public or path.name.startswith("_"), name
        elif path.name == "__init__.py" and name not in PUBLIC:
            assert "Internal:" in (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""), name
