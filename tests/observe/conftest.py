"""Prometheus and its tool, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.prometheus import tools


@pytest.fixture(scope="session")
def prometheus_tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with `prometheus` and `promtool`, or a skip that names the package."""
    return tools(tmp_path_factory.mktemp("prometheus"))
