"""Models that answer, or are described, as none of the trainer's is: the console goes on, and says what it can."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client._model_card import card_path
from atelier_client.testing import InMemoryServer

from tests.support.console import RunningConsole, running_console
from tests.support.server import running_server
from tests.support.small_server import SmallServer, small_server
from tests.support.toy_models import save_toy

SPECS: dict[str, Any] = {"x": ("float32", (-1,))}
ASK = {"kind": "json", "text": '{"x": [1]}'}


def _answer(last: float, inputs: Any) -> dict[str, Any]:
    return {"probabilities": np.array([[np.nan, 0.5, last]], np.float32)}


@pytest.fixture(scope="module")
def small() -> Iterator[SmallServer]:
    memory = InMemoryServer()
    for version, label, last in ((1, "stable", np.inf), (2, "canary", -np.inf)):
        memory.serve(
            "odd",
            functools.partial(_answer, last),
            inputs=SPECS,
            outputs={"probabilities": ("float32", (-1, 3))},
            version=version,
            label=label,
        )
    with small_server(memory) as running:
        yield running


@pytest.fixture
def console(small: SmallServer, tmp_path: Path) -> Iterator[RunningConsole]:
    with running_console(tmp_path, small.address, "--model=odd") as running:
        yield running


def test_what_is_no_number_is_shown_as_text(console: RunningConsole) -> None:
    status, found = console.ask(ASK, "odd")
    assert status == 200, found
    first = found["answers"][0]
    shown = {name: [share, text] for name, share, text in first["top"]}
    assert shown == {"0": [None, "NaN"], "1": [0.5, "50.0 %"], "2": [None, "Infinity"]}
    assert "NaN" in first["outputs"]
    assert found["difference"] == "Their outputs differ: probabilities."
    assert "Traceback" not in console.log_text()


def test_a_model_without_a_card_says_that_it_takes_json(console: RunningConsole) -> None:
    status, found = console.ask({"kind": "row", "values": {"x": "1"}}, "odd")
    assert status == 400
    assert found["error"] == (
        "No model card says what the model odd takes: give JSON for one of its signatures, no row."
    )


def test_a_damaged_card_is_said_and_json_is_answered_all_the_same(
    console: RunningConsole, tmp_path: Path
) -> None:
    for version in (1, 2):
        card = card_path(tmp_path / "models" / "odd" / str(version))
        card.parent.mkdir(parents=True)
        card.write_text("{")
    assert console.ask(ASK, "odd")[0] == 200
    status, found = console.ask({"kind": "row", "values": {}}, "odd")
    assert status == 400
    assert "model_card.json is damaged" in found["error"]
    status, page = console.get("/try?model=odd")
    assert status == 200
    assert "model_card.json is damaged" in page


def test_a_server_that_has_stopped_is_no_source_that_can_be_read(tmp_path: Path) -> None:
    readable = 'atelier_console_source_readable{source="server"}'
    save_toy(tmp_path / "models")
    with (
        running_server(tmp_path / "models", model="toy") as server,
        running_console(tmp_path, server.grpc, "--model=toy") as console,
    ):
        assert f"{readable} 1" in console.get("/metrics")[1]
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            text = console.get("/metrics")[1]
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
    assert f"{readable} 0" in text
    assert 'atelier_available_versions{model_name="toy"} 0' in text
