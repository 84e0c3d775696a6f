"""/metrics of a real console: what it reads of a model repository, whole, damaged or empty."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.console import RunningConsole, running_console
from tests.support.ports import free_port

EVENT = {"time": "2026-11-24T11:30:40.500+00:00", "who": "ada", "from": None, "to": 1, "event": "promoted"}
CARD = {
    "class_names": ["a", "b"],
    "data": {"name": "mine", "test": {"file": {"format": "csv", "path": "mine/test.csv"}}},
    "input": {"kind": "table", "shape": [1], "columns": ["age"]},
    "metrics": {"test": {"accuracy": 0.75, "loss": 0.5, "examples": 4}},
    "created_at": "2026-11-24T11:00:00+00:00",
    "seconds": {"fit": 12.5},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with one version, listed, and no server."""
    models = tmp_path / "models"
    extra = models / "mine" / "3" / "assets.extra"
    extra.mkdir(parents=True)
    (extra / "model_card.json").write_text(json.dumps(CARD))
    (models / "models.config").write_text(
        f'model_config_list {{ config {{ name: "mine" base_path: "{models / "mine"}" }} }}'
    )
    (models / "rollouts.jsonl").write_text(
        "".join(json.dumps({**EVENT, "model": name}) + "\n" for name in ("mine", 'a "b"\\\n'))
    )
    return tmp_path


@pytest.fixture
def console(folder: Path) -> Iterator[RunningConsole]:
    with running_console(folder, f"127.0.0.1:{free_port()}") as running:
        yield running


def gauges(console: RunningConsole) -> dict[str, float]:
    """Each line as {name{labels}: value}."""
    status, text = console.get("/metrics")
    assert status == 200
    sample = re.compile(r'[a-z_]+(\{([a-z_]+="(\\[\\"n]|[^"\\\n])*",?)+\})? [0-9.e+-]+')
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if not sample.fullmatch(line)] == []
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_releases_trainings_and_a_server_that_is_away(console: RunningConsole) -> None:
    version = 'model_name="mine",model_version="3"'
    event = 'event="promoted",from_version="",to_version="1",verdict=""'
    assert gauges(console) == {
        'atelier_console_source_readable{source="server"}': 0,
        'atelier_console_source_readable{source="cards"}': 1,
        'atelier_console_source_readable{source="releases"}': 1,
        'atelier_console_source_readable{source="drift"}': 1,
        'atelier_available_versions{model_name="mine"}': 0,
        f"atelier_training_timestamp_seconds{{{version}}}": 1795518000,
        f'atelier_training_seconds{{{version},stage="fit"}}': 12.5,
        f'atelier_test_metric{{{version},metric="accuracy"}}': 0.75,
        f'atelier_test_metric{{{version},metric="loss"}}': 0.5,
        f'atelier_test_metric{{{version},metric="examples"}}': 4,
        f'atelier_release_event_timestamp_seconds{{model_name="mine",{event}}}': 1795519840.5,
        f'atelier_release_event_timestamp_seconds{{model_name="a \\"b\\"\\\\\\n",{event}}}': 1795519840.5,
    }


def test_an_event_that_comes_again_has_its_later_time(folder: Path, console: RunningConsole) -> None:
    again = {**EVENT, "model": "mine", "time": "2026-11-24T11:30:50.500+00:00"}
    with (folder / "models" / "rollouts.jsonl").open("a") as record:
        record.write("no entry\n" + json.dumps(again) + "\n" + json.dumps(again)[:20])
    times = {name: value for name, value in gauges(console).items() if "release_event" in name}
    assert sorted(times.values()) == [1795519840.5, 1795519850.5]


def test_what_cannot_be_read_is_left_out_and_told(folder: Path, console: RunningConsole) -> None:
    (folder / "models" / "models.config").write_text("model_config_list {{")
    found = gauges(console)
    readable = [value for name, value in found.items() if "source_readable" in name]
    assert readable == [0, 0, 1, 1]
    assert any("release_event" in name for name in found)
    assert not any("test_metric" in name for name in found)


def test_a_damaged_card_hides_no_other(folder: Path, console: RunningConsole) -> None:
    (folder / "models" / "mine" / "4" / "assets.extra").mkdir(parents=True)
    (folder / "models" / "mine" / "4" / "assets.extra" / "model_card.json").write_text("{")
    found = gauges(console)
    assert found['atelier_console_source_readable{source="cards"}'] == 0
    assert any('test_metric{model_name="mine",model_version="3"' in name for name in found)
    assert found['atelier_available_versions{model_name="mine"}'] == 0
    assert any("release_event" in name for name in found)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"windows": [{}], "model": 7}'])
def test_a_drift_report_that_is_none_hides_nothing_else(
    folder: Path, console: RunningConsole, text: str
) -> None:
    (folder / "reports").mkdir()
    (folder / "reports" / "drift.json").write_text(text)
    found = gauges(console)
    assert found['atelier_console_source_readable{source="drift"}'] == 0
    assert any("test_metric" in name for name in found)


def test_an_empty_checkout_has_nothing_to_tell(tmp_path: Path) -> None:
    with running_console(tmp_path, f"127.0.0.1:{free_port()}") as console:
        assert set(gauges(console).values()) == {1}
