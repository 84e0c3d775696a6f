"""The rooms of each component: small enough to look through, without circles, each with a purpose that it states."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.import_graph import ImportGraph

WIDEST = 20
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["client", "console", "serving", "trainer"])
def graph(request: pytest.FixtureRequest) -> ImportGraph:
    return ImportGraph.read(ROOT / request.param / f"atelier_{request.param}")


def test_no_modules_import_each_other(graph: ImportGraph) -> None:
    assert graph.imports
    assert graph.module_cycles() == []


def test_no_rooms_import_each_other(graph: ImportGraph) -> None:
    assert graph.room_cycles() == []


def test_no_folder_is_too_wide_to_look_through(graph: ImportGraph) -> None:
    assert {room: width for room, width in graph.widths().items() if width > WIDEST} == {}


def test_every_room_states_its_purpose_in_one_sentence(graph: ImportGraph) -> None:
    assert graph.without_purpose() == []
