"""The lines to copy name the server as whoever reads the page reaches it."""

from __future__ import annotations

import numpy as np
import pytest
from atelier_console.cli import read_settings
from atelier_console.inputs.given import Inputs
from atelier_console.trying.lines import lines

INPUTS = Inputs("serving_default", {"x": np.array([1.5], np.float32)})


def test_lines_name_the_server_as_the_console_reaches_it() -> None:
    found = lines(read_settings(["--target=near:8500", "--rest=http://near:8501"]), "toy", 1, INPUTS, "")
    assert "curl -s http://near:8501/v1/models/toy/versions/1:predict" in str(found["curl"])
    assert "Client('near:8500', 'toy')" in str(found["python"])
    assert "--target near:8500 --model toy --version 1 --models" in str(found["client"])


def test_lines_name_another_address_where_readers_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads from outside of the container has none of its folders either."""
    monkeypatch.setenv("ATELIER_SHOWN_TARGET", "127.0.0.1:9500")
    monkeypatch.setenv("ATELIER_SHOWN_REST", "http://127.0.0.1:9501/")
    found = lines(read_settings(["--target=near:8500", "--rest=http://near:8501"]), "toy", 1, INPUTS, "")
    assert "near" not in "".join(map(str, found.values()))
    assert "curl -s http://127.0.0.1:9501/v1/models/toy/versions/1:predict" in str(found["curl"])
    assert "Client('127.0.0.1:9500', 'toy')" in str(found["python"])
    assert str(found["client"]).endswith("--target 127.0.0.1:9500 --model toy --version 1")
