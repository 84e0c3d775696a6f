"""Which of the trainer's rooms may import which."""

from __future__ import annotations

from pathlib import Path

import atelier_trainer
import pytest

from tests.support.import_graph import ImportGraph

# From which room into which: data knows no training, training no publishing, and studies publish nothing. The reference
# splits texts into words as training does.
ARROWS = {
    "training": {"data", "metrics"},
    "reference": {"data", "training"},
    "distributed": {"data", "training"},
    "publishing": {"data", "training", "distributed", "reference", "metrics"},
    "importing": {"examples", "data", "metrics", "publishing", "reference"},
    # Of a model that is imported.
    "examples": {"data", "publishing"},
    "studies": {"data", "training"},
    "portable": {"data", "training", "publishing"},
    "tracking": {"training", "publishing"},
    "cli": {
        "data",
        "training",
        "distributed",
        "publishing",
        "importing",
        "studies",
        "portable",
        "tracking",
        "metrics",
    },
}


@pytest.fixture(scope="module")
def graph() -> ImportGraph:
    return ImportGraph.read(Path(atelier_trainer.__file__).parent)


def test_arrows_lead_from_the_command_line_down_to_the_data(graph: ImportGraph) -> None:
    found: dict[str, set[str]] = {}
    for source, target in graph.arrows():
        room = graph.room(source).rpartition(".")[2]
        found.setdefault(room, set()).add(graph.room(target).rpartition(".")[2])
    assert {
        room: more for room, targets in found.items() if (more := targets - ARROWS.get(room, set()))
    } == {}
