"""The page Models: what it reads of the repository, the reports and the runs, whole or damaged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from atelier_client.release.record import Entry, Record
from atelier_console.models import metrics

from tests.support.client_command import command
from tests.support.console import RunningConsole, running_console
from tests.support.server import RunningServer


@pytest.fixture
def recorded(folder: Path) -> Iterator[Record]:
    """The repository's record, which the other tests do not have."""
    record = Record(folder / "models")
    yield record
    record.path.unlink(missing_ok=True)


def entry(event: str, verdict: str | None = None, reason: str = "") -> Entry:
    time = "2026-11-30T12:00:00.000+00:00"
    return Entry(time, "ada@forge", "fashion", event, 1, 2, verdict, reason)  # type: ignore[arg-type]


def test_releases_and_verdicts_are_shown_the_newest_first(console: RunningConsole, recorded: Record) -> None:
    recorded.append(entry("gated", "rejected", "Version 2 is rejected: accuracy <b>fell</b>."))
    recorded.append(entry("rejected", "rejected"))
    status, page = console.get("/models?model=fashion")
    assert status == 200
    table = page[page.index('id="releases-title"') :]
    assert table.index("<td>rejected</td>") < table.index("<td>gated</td>")
    assert "accuracy &lt;b&gt;fell&lt;/b&gt;." in table
    assert "ada@forge" in table


def test_a_damaged_record_is_said_and_the_rest_is_shown(console: RunningConsole, recorded: Record) -> None:
    recorded.append(entry("gated", "blessed", "Version 2 is blessed."))
    text = recorded.path.read_text()
    recorded.path.write_text(f"{{nonsense}}\n{text}")
    page = console.get("/models?model=fashion")[1]
    assert "rollouts.jsonl is damaged: line 1" in page
    assert "Version 2 is blessed." in page


def test_the_last_evaluation_has_its_intervals(folder: Path, server: RunningServer, tmp_path: Path) -> None:
    done = command(
        *("evaluate", "--model", "fashion", "--target", server.grpc, "--version", 1),
        *("--models", folder / "models", "--data", folder / "data", "--reports", tmp_path / "reports"),
    )
    assert done.returncode == 0, done.stderr
    with running_console(folder, server.grpc, f"--reports={tmp_path / 'reports'}") as console:
        page = console.get("/models?model=fashion")[1]
        assert "Metrics of the last evaluation, 10,000 examples" in page
        assert 'href="/reports/evaluation.html"' in page
        assert console.get("/reports/evaluation.html")[1].startswith("<!doctype html>")
    found = metrics.of_evaluation(tmp_path / "reports", "fashion", 1)
    assert found is not None
    [accuracy] = [row for row in found.rows if row.name == "accuracy"]
    assert accuracy.low is not None
    assert accuracy.high is not None
    assert 0 < accuracy.high - accuracy.low < 0.02
    assert metrics.of_evaluation(tmp_path / "reports", "fashion", 2) is None


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps({"model": {"name": "fashion", "version": 1}})])
def test_a_damaged_evaluation_is_left_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "evaluation.json").write_text(text)
    assert metrics.of_evaluation(tmp_path, "fashion", 1) is None


def test_a_damaged_card_is_said_beside_its_version(console: RunningConsole, folder: Path) -> None:
    card = folder / "models" / "fashion" / "2" / "assets.extra" / "model_card.json"
    text = card.read_text()
    card.write_text(text[:100])
    try:
        page = console.get("/models?model=fashion")[1]
        assert "model_card.json is damaged" in page
        assert "Metrics of the model card" in page
        status, found = console.ask({"kind": "example", "number": 19})
        assert status == 200
        assert "is damaged" in found["difference"]
    finally:
        card.write_text(text)
