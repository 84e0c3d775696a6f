"""HTTP: uvicorn and Starlette in a thread of their own, carrying the REST API."""

from __future__ import annotations

import socket
import threading
import time

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from atelier_serving.rest_api import RestApi

_START_SECONDS = 10.0


class RestServer:
    """Serves `api` over HTTP on host:port until stopped. Raises `OSError` when the port is taken."""

    def __init__(self, api: RestApi, host: str, port: int) -> None:
        # With its protocol named, asyncio turns off Nagle's algorithm for what is accepted: 40 ms an answer less.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            raise OSError(f"port {port} on {host} cannot be bound: {error.strerror}") from None
        handler = _Handler(api)
        route = Route("/{path:path}", handler.respond)
        # Every method there is: which of them are answered is decided per path.
        route.methods = None
        app = Starlette(routes=[route])
        # The drain is timed by the caller; uvicorn's own limit ends connections that never close.
        settings = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=10)
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), daemon=True, name="rest"
        )

    def start(self) -> None:
        """Accept requests; returns once the port answers."""
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.01)

    def stop(self, seconds: float) -> None:
        """Refuse new connections, give requests in flight up to `seconds`."""
        self._server.should_exit = True
        self._thread.join(seconds)
        self._socket.close()


class _Handler:
    def __init__(self, api: RestApi) -> None:
        self._api = api

    async def respond(self, request: Request) -> Response:
        """Any request; what is asked of a model is answered in a worker thread."""
        try:
            body = await request.body()
        except ClientDisconnect:
            # Nobody is left to read an answer.
            return Response(status_code=400)
        # TensorFlow Serving matches the path with its query, still percent-encoded.
        path = request.scope["raw_path"].decode("latin-1")
        if request.url.query:
            path += f"?{request.url.query}"
        if not path.lower().startswith("/v1/"):
            return Response(
                "<HTML><HEAD><TITLE>404 Not Found</TITLE></HEAD></HTML>", 404, media_type="text/html"
            )
        answer = await run_in_threadpool(self._api.respond, request.method, path, request.headers, body)
        return Response(answer.body, answer.status, answer.headers, answer.media_type)
