"""The dashboard is what its program writes, and Grafana's own model reads it without a loss."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.observe.dashboard.board import FILE, build, text

GRAFANA = FILE.parents[1]


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return document


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels that show something; the others are rows' titles."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def lost(written: Any, read: Any, at: str = "") -> set[str]:
    """The places of a document whose values are others, or none, in what was read. Reading may add defaults."""
    if isinstance(written, dict) and isinstance(read, dict):
        return {
            place for key in written for place in lost(written[key], read.get(key, "nothing"), f"{at}/{key}")
        }
    if isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        pairs = enumerate(zip(written, read, strict=True))
        return {place for number, pair in pairs for place in lost(*pair, f"{at}/{number}")}
    return set() if written == read else {at}


def test_the_file_is_what_the_program_writes() -> None:
    assert FILE.read_text(encoding="utf-8") == text(build()), "python -m deploy.observe.dashboard writes it"


def test_grafana_s_model_reads_it(board: dict[str, Any]) -> None:
    register_default_plugins()
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    assert lost(board, read) == {
        f"/annotations/list/{number}/{name}"
        for number in range(2)
        # The fields of the data source for Prometheus, which the model does not have.
        for name in ("titleFormat", "tagKeys", "useValueForTime")
    }


def test_numbers_and_letters_name_one_panel_and_one_question_each(board: dict[str, Any]) -> None:
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert 0 not in numbers
    for panel in panels(board):
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == list("ABCDEFGH"[: len(letters)])
        assert panel["description"]


def test_no_panel_covers_another(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        own = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & own, panel["title"]
        assert all(x < 24 for x, _ in own)
        taken |= own


def test_every_panel_reads_the_source_that_is_provisioned(board: dict[str, Any]) -> None:
    path = GRAFANA / "provisioning" / "datasources" / "prometheus.yml"
    [source] = yaml.safe_load(path.read_text(encoding="utf-8"))["datasources"]
    assert source["isDefault"]
    [variable] = [item for item in board["templating"]["list"] if item["type"] == "datasource"]
    assert (variable["name"], variable["query"]) == ("datasource", source["type"])
    wanted = {"type": source["type"], "uid": "${datasource}"}
    asked = [*board["annotations"]["list"], *panels(board)]
    asked += [target for panel in panels(board) for target in panel["targets"]]
    assert all(item["datasource"] == wanted for item in asked)


def test_what_both_servers_count_is_asked_by_tensorflow_serving_s_names(board: dict[str, Any]) -> None:
    """A panel without one of them shows what TensorFlow Serving does not count, and says so."""
    for panel in panels(board):
        asked = " ".join(target["expr"] for target in panel["targets"])
        if re.search(r"atelier_(request|stage|batch|label)|process_", asked):
            assert "The embedded server only." in panel["description"], panel["title"]
