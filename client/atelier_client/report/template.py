"""Fills the page templates: one file that needs no other files, for screen and paper."""

from __future__ import annotations

from importlib import resources
from typing import Any

import jinja2

from atelier_client._printable import printable


def render(name: str, **values: Any) -> str:
    """The page that the template makes of the values."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _percent
    # HTML has no form for control characters, and those that turn the direction of writing would turn the page's.
    return printable(environment.get_template(name).render(**values))


def _source(name: str) -> str:
    templates = resources.files("atelier_client.report").joinpath("templates")
    return templates.joinpath(name).read_text(encoding="utf-8")


def _percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}\N{THIN SPACE}%"
