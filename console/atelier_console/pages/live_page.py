"""The page Live, and the question of its script."""

from __future__ import annotations

from typing import Any

from atelier_client.errors import DataError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from atelier_console.live.drift import read_drift
from atelier_console.live.tiles import KEYS, tiles
from atelier_console.live.watch import INTERVAL, KEPT_SECONDS
from atelier_console.pages.console import Console, console_of
from atelier_console.texts import say


def show(request: Request) -> Response:
    """The page; its script fills the tiles."""
    console = console_of(request)
    model = console.catalog.model(request.query_params.get("model"))
    return console.templates.page(
        "live.html.j2",
        page="/live",
        title=say("live_title", model=model.name),
        names=console.catalog.names(),
        model=model.name,
        keys=KEYS,
        interval=INTERVAL,
        minutes=round(KEPT_SECONDS / 60),
        rest=console.settings.rest,
        **_drift(console, model.name),
    )


def figures(request: Request) -> Response:
    """The tiles now."""
    console = console_of(request)
    model = console.catalog.model(request.path_params["model"])
    snapshots, problem = console.watch.snapshots(model.name)
    return JSONResponse({"problem": problem, "tiles": tiles(snapshots)})


def _drift(console: Console, model: str) -> dict[str, Any]:
    try:
        return {"drift": read_drift(console.settings.reports, model), "drift_problem": None}
    except DataError as error:
        return {"drift": None, "drift_problem": str(error)}
