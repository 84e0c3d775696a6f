"""What the pages share: settings, models, live figures, templates; each page gets it from the application's state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from starlette.requests import Request

from atelier_console.live.watch import Watch
from atelier_console.models.catalog import Catalog
from atelier_console.settings import Settings
from atelier_console.web.templates import Templates


@dataclass(frozen=True)
class Console:
    """One console."""

    settings: Settings
    catalog: Catalog
    watch: Watch
    templates: Templates


def console_of(request: Request) -> Console:
    """The console that is asked."""
    return cast(Console, request.app.state.console)
