"""The console beside a model that predicts a number: its value, its metrics, its examples, and nothing of classes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from atelier_client import Client

from tests.support.console import RunningConsole, running_console
from tests.support.regression_tables import DIABETES, publish, table
from tests.support.server import RunningServer, running_server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("regression")
    publish(DIABETES, folder, epochs=2)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    with running_server(folder / "models", model=DIABETES) as running:
        yield running


@pytest.fixture(scope="module")
def console(folder: Path, server: RunningServer) -> Iterator[RunningConsole]:
    with running_console(folder, server.grpc) as running:
        yield running


def test_a_row_is_answered_by_its_value(console: RunningConsole, server: RunningServer) -> None:
    columns, rows, _ = table(DIABETES)
    values = {name: repr(value) for name, value in zip(columns, rows[0].tolist(), strict=True)}
    status, found = console.ask({"kind": "row", "values": values}, DIABETES)
    assert status == 200, found
    with Client(server.grpc, DIABETES) as client:
        value = client.predict(rows[:1].astype(np.float32))["prediction"][0]
    answer = found["answers"][0]
    assert answer["chosen"] == answer["sentence"] == f"{value:.6g}"
    assert answer["top"] == []


def test_the_page_offers_examples_with_their_numbers_and_no_classes(console: RunningConsole) -> None:
    status, page = console.get(f"/try?model={DIABETES}")
    assert status == 200
    assert 'id="examples"' in page
    assert 'id="feedback"' not in page
    status, found = console.get(f"/api/models/{DIABETES}/examples")
    assert status == 200, found
    assert found.count('"label"') == 10


def test_the_models_page_has_the_errors_and_their_history(console: RunningConsole) -> None:
    status, page = console.get(f"/models?model={DIABETES}")
    assert status == 200
    for words in ("median_absolute_error", "rmse", "r2", "<small>mae</small>"):
        assert words in page
