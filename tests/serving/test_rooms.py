"""How loosely the server's rooms hang together, and that the graph they are judged by is read rightly."""

from __future__ import annotations

from pathlib import Path

import atelier_serving
import pytest

from tests.support.import_graph import ImportGraph, cycles

# Imports from one room into another. Without rooms there were 180 imports between the modules of one folder. A second
# gRPC front, and bursts over both transports, brought 23 of them; a second protocol, which comes over both, 52.
ARROWS = 147


@pytest.fixture(scope="module")
def graph() -> ImportGraph:
    return ImportGraph.read(Path(atelier_serving.__file__).parent)


def test_rooms_are_loosely_coupled(graph: ImportGraph) -> None:
    assert len(graph.arrows()) <= ARROWS


def test_a_circle_is_found_whatever_its_length() -> None:
    graph = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("a"), "d": frozenset("a")}
    assert cycles(graph) == [["a", "b", "c"]]


def test_imports_of_every_form_are_found(tmp_path: Path) -> None:
    package = tmp_path / "house"
    (package / "room").mkdir(parents=True)
    (package / "__init__.py").write_text('"""A house."""\n')
    (package / "room" / "__init__.py").write_text("")
    (package / "room" / "chair.py").write_text("from house.room import table\n")
    (package / "room" / "table.py").write_text("def f():\n    from ..kitchen import cook\n")
    (package / "kitchen.py").write_text("import house.room.chair\n")
    graph = ImportGraph.read(package)
    assert graph.module_cycles() == [["house.kitchen", "house.room.chair", "house.room.table"]]
    assert graph.arrows() == [("house.kitchen", "house.room.chair")]
    assert graph.without_purpose() == ["house.room"]
    assert graph.widths() == {"house": 1, "house.room": 2}
