"""The server's own log: text as ever, JSON when asked for, one handler a process."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

import atelier_serving
import pytest
from atelier_serving import log

from tests.support.server import running_server
from tests.support.toy_models import save_toy


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, whose handlers and levels are put back."""
    logger = logging.getLogger()
    own = logging.getLogger("atelier_serving")
    handlers, level = logger.handlers, own.level
    yield logger
    logger.handlers = handlers
    own.setLevel(level)


def test_a_second_configuration_replaces_the_first(root: logging.Logger) -> None:
    log.configure(log.TEXT)
    log.configure(log.JSON)
    assert len(root.handlers) == 1


def test_text_is_time_and_message(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(log.TEXT)
    logging.getLogger("atelier_serving.models").info("100 % done")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d 100 % done\n", capsys.readouterr().err)


def test_json_holds_level_logger_message_and_exception(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure(log.JSON)
    logger = logging.getLogger("atelier_serving.models")
    try:
        raise ValueError("wrong\nvalue")
    except ValueError:
        logger.exception("a line\nand another")
    (line,) = capsys.readouterr().err.splitlines()
    document = json.loads(line)
    assert (document["level"], document["logger"]) == ("ERROR", "atelier_serving.models")
    assert document["message"] == "a line\nand another"
    assert "ValueError: wrong\nvalue" in document["exception"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", document["time"])


def test_libraries_log_from_warning_on(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(log.TEXT)
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.error").warning("odd request")
    assert [line[20:] for line in capsys.readouterr().err.splitlines()] == ["odd request"]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_line_of_every_process_is_json_when_asked_for(tmp_path: Path, workers: int) -> None:
    save_toy(tmp_path, version=1, factor=1.0)
    with running_server(tmp_path, "--log_format=json", f"--workers={workers}", model="toy") as server:
        deadline = time.monotonic() + 20
        while server.log_text().count("Exporting HTTP/REST API") < workers and time.monotonic() < deadline:
            time.sleep(0.02)
        lines = [json.loads(line) for line in server.log_text().splitlines()]
    assert {line["level"] for line in lines} == {"INFO"}
    running = [line for line in lines if line["message"].startswith("Running gRPC ModelServer at")]
    assert len(running) == workers
    assert {line["logger"] for line in running} == {f"{atelier_serving.__name__}.server"}
