"""Wires everything: which path is answered by what, what happens to an error, and the process that listens."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources

import uvicorn
from atelier_client._printable import printable
from atelier_client.cli.options import say as tell
from atelier_client.errors import ClientError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from atelier_console.live.watch import Watch
from atelier_console.models.catalog import Catalog
from atelier_console.pages import live_page, metrics_page, models_page, try_page
from atelier_console.pages.console import Console, console_of
from atelier_console.problems import Problem, status_of
from atelier_console.settings import Settings
from atelier_console.texts import say
from atelier_console.web.guard import Guard
from atelier_console.web.templates import Templates

_log = logging.getLogger("uvicorn.error")


def application(settings: Settings) -> Starlette:
    """The console as an ASGI application."""
    console = Console(settings, Catalog(settings), Watch(settings), Templates(settings))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.console = console
        console.watch.start()
        try:
            yield
        finally:
            console.watch.stop()
            console.catalog.close()

    return Starlette(
        routes=[
            Route("/", try_page.start),
            Route("/try", try_page.show),
            Route("/api/models/{model}/examples", try_page.examples),
            Route("/api/models/{model}/ask", try_page.ask, methods=["POST"]),
            Route("/api/models/{model}/feedback", try_page.feedback, methods=["POST"]),
            Route("/models", models_page.show),
            Route("/models/compare", models_page.compare),
            Route("/live", live_page.show),
            Route("/api/models/{model}/live", live_page.figures),
            Route("/reports/{name}", models_page.report),
            Route("/healthz", healthz),
            Route("/metrics", metrics_page.metrics),
            Mount(
                "/static", StaticFiles(directory=str(resources.files("atelier_console").joinpath("static")))
            ),
        ],
        middleware=[Middleware(Guard, settings=settings)],
        exception_handlers={
            Problem: _wrong,
            ClientError: _wrong,
            OSError: _disk,
            HTTPException: _http,
            Exception: _failed,
        },
        lifespan=lifespan,
    )


def serve(settings: Settings, sock: socket.socket) -> None:
    """Answer on a listening socket until SIGINT or SIGTERM."""
    host, port = sock.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    config = uvicorn.Config(
        application(settings),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=32 << 10,
    )
    tell(f"The console: http://{shown}:{port}/ (Ctrl-C ends it)")
    uvicorn.Server(config).run(sockets=[sock])


async def healthz(request: Request) -> Response:
    """The console answers; whether the model server does, its pages say."""
    return PlainTextResponse("ok\n")


def _wrong(request: Request, error: Exception) -> Response:
    return _answer(request, str(error), status_of(error))


def _disk(request: Request, error: Exception) -> Response:
    """A folder that cannot be read or written: the error names the file."""
    return _answer(request, say("disk", why=error), 500)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    key = "wrong_method" if error.status_code == 405 else "no_page"
    sentence = say(key, path=request.url.path, method=request.method)
    return _answer(request, sentence, error.status_code)


def _failed(request: Request, error: Exception) -> Response:
    return _answer(request, say("internal", kind=type(error).__name__), 500)


def _answer(request: Request, sentence: str, status: int) -> Response:
    """The sentence as JSON for the script, as a page for a person."""
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": printable(sentence)}, status)
    templates = console_of(request).templates
    return templates.page("problem.html.j2", status, page="", title=say("problem"), problem=sentence)
