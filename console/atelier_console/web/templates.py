"""Fills the pages' templates."""

from __future__ import annotations

import json
from importlib import resources
from types import SimpleNamespace
from typing import Any

import jinja2
from atelier_client._printable import printable
from starlette.responses import HTMLResponse

from atelier_console.settings import Settings
from atelier_console.texts import SCRIPT, TEXTS, say
from atelier_console.web.bodies import MOST_PICTURE

# What the navigation links to: path and the text's key.
PAGES = (("/try", "nav_try"), ("/models", "nav_models"), ("/live", "nav_live"))


class Templates:
    """The pages, with the texts and what every page shows."""

    def __init__(self, settings: Settings) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FunctionLoader(_source),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {
            # An object: `clear` and `copy` of a dict are methods.
            "t": SimpleNamespace(**TEXTS),
            "say": say,
            "pages": PAGES,
            "target": settings.target,
            "script_texts": json.dumps({key: TEXTS[key] for key in SCRIPT}),
            "most_picture": MOST_PICTURE,
        }
        self._environment.filters["percent"] = lambda value, digits=1: (
            f"{100 * value:.{digits}f}\N{THIN SPACE}%"
        )

    def page(self, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """The page that the template makes of the values."""
        # Control characters have no form in HTML, and those that turn the direction of writing would turn the page's.
        return HTMLResponse(printable(self._environment.get_template(name).render(**values)), status)


def _source(name: str) -> str:
    folder = resources.files("atelier_console").joinpath("templates")
    return folder.joinpath(name).read_text(encoding="utf-8")
