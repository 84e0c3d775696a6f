"""The HTTP server: uvicorn in its own thread, with the REST API, health, metrics and the index page."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import uvicorn

from atelier_serving.drain import CONNECTION_SECONDS
from atelier_serving.monitoring.request_recorder import RequestRecorder
from atelier_serving.request_context import begin
from atelier_serving.rest.answer import Answer, html_page, json_answer
from atelier_serving.rest.bursts import Bursts
from atelier_serving.rest.document_memory import DocumentMemory, LargeDocument
from atelier_serving.rest.http_api import HttpApi
from atelier_serving.rest.http_caller import HttpCaller
from atelier_serving.rest.json.document import LARGE
from atelier_serving.rest.limits import MAX_CONNECTIONS, BodyReader, LimitedProtocol
from atelier_serving.rest.listening_socket import refuse_connections
from atelier_serving.rest.request import Request
from atelier_serving.status import ServingError
from atelier_serving.thread_pool import ThreadPool, seconds_waited

# For each path a function from the Host header to the answer, which may be awaitable.
Pages = dict[str, Callable[[str], Answer | Awaitable[Answer]]]
_START_SECONDS = 10.0
_ACCEPT_SECONDS = 0.1
_REQUEST_SECONDS = 0.5
_SENT_AT_A_TIME = 256 * 1024
# The threads for large documents. Only one of these is read at a time; the others wait.
_LARGE_THREADS = 8
_BODY_ERRORS = {
    408: "The request's body did not arrive in time.",
    413: "The bodies of all requests that are open exceed the memory that is left for them. Send less at a time.",
}
# What libevent, TensorFlow Serving's HTTP server, lets through; TRACE and all others end before a handler is asked.
_METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")
_NOT_IMPLEMENTED = Answer(501, html_page("501 Not Implemented"), "text/html; charset=ISO-8859-1")
_NOT_FOUND = Answer(404, html_page("404 Not Found"), "text/html")


class RestServer:
    """Serves HTTP on host:port until it is stopped. Raises `OSError` when the port is in use."""

    def __init__(self, app: RestApp, host: str, port: int, tls: ssl.SSLContext | None, shared: bool) -> None:
        """`shared` is True when other workers use the same port."""
        self._app = app
        # asyncio turns off Nagle's algorithm only when the socket names its protocol. It would delay an answer by 40
        # ms.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        try:
            self._socket.bind((host, port))
        except OSError as error:
            raise OSError(f"port {port} on {host} cannot be bound: {error.strerror}") from None
        # The caller limits the time of the drain. uvicorn's limit is only for connections that never close.
        settings = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            http=LimitedProtocol,
            limit_concurrency=MAX_CONNECTIONS,
            server_header=False,
            timeout_graceful_shutdown=CONNECTION_SECONDS,
        )
        settings.load()
        settings.ssl = tls
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), daemon=True, name="rest"
        )

    def start(self, free: int) -> None:
        """Accept requests, and return when the port is open. The models are loaded; `free` bytes of memory are left."""
        self._app.start(free)
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.01)

    def refuse(self) -> None:
        """Answer with `Connection: close` from now on, so that clients send their next request to another server."""
        LimitedProtocol.closing = True

    def stop(self, seconds: float) -> None:
        """Refuse new connections. Requests in flight have up to `seconds` to end."""
        deadline = time.monotonic() + seconds
        if self._server.servers:
            # When a listening socket closes, the connections that wait to be accepted are reset. So it lets no new ones
            # in first, and those that wait are accepted before it closes.
            refuse_connections(self._socket)
            time.sleep(_ACCEPT_SECONDS)
            loop = self._server.servers[0].get_loop()
            for listening in self._server.servers:
                loop.call_soon_threadsafe(listening.close)
            # uvicorn closes idle connections at once. Before that, wait for requests that are already on the way.
            time.sleep(_REQUEST_SECONDS)
        self._server.should_exit = True
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._socket.close()


class RestApp:
    """The ASGI application. Threads of the pool answer requests to models; the event loop answers all others."""

    def __init__(
        self,
        apis: Mapping[str, HttpApi],
        recorder: RequestRecorder,
        pool: ThreadPool,
        pages: Pages,
        seconds: float,
        bursts: Bursts | None,
    ) -> None:
        """`apis` are those of paths by their beginnings: `/v1/`.

        `pages` do not depend on the models. They run on the event loop, so only those of `in_thread` may wait.

        A body has `seconds` to arrive. `bursts` is None when each request runs alone.
        """
        self._apis = apis
        self._recorder = recorder
        self._pool = pool
        self._pages = pages
        self._bursts = bursts
        self._bodies = BodyReader(seconds)
        LimitedProtocol.answer_seconds = seconds
        # Large documents have their own threads, so that those that wait for their turn occupy no thread of the pool.
        self._documents = DocumentMemory()
        self._large = ThreadPool(_LARGE_THREADS, "large")

    def start(self, free: int) -> None:
        """Set the limit of documents. The models are loaded, and `free` bytes of memory are left."""
        self._documents.start(free)
        self._bodies.start(free)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request, as ASGI says."""
        if scope["method"] not in _METHODS:
            await _send(send, _NOT_IMPLEMENTED, scope["method"])
            return
        path = scope["raw_path"].decode("latin-1")
        if page := self._pages.get(path):
            answer = page(_host(scope))
            await _send(send, answer if isinstance(answer, Answer) else await answer, scope["method"])
            return
        api = self._apis.get(path[:4].lower())
        if api is None:
            await _send(send, _NOT_FOUND, scope["method"])
            return
        body, status = await self._bodies.read(receive)
        if status != 200:
            if status in _BODY_ERRORS:
                refusal = json_answer(status, {"error": _BODY_ERRORS[status]}, {"Connection": "close"})
                await _send(send, refusal, scope["method"])
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request = Request(scope["method"], path, headers, body, self._documents, packings=api.packings)
        # Only `request` keeps the body, so that its memory is freed when the body has been read.
        size = len(body)
        del body
        try:
            await _send(send, await self._answered(scope, receive, api, request), scope["method"])
        finally:
            self._bodies.release(size)
            if request.large:
                # Memory goes back to the system, which may take a while.
                self._large.submit(request.large.end)

    async def _answered(self, scope: Any, receive: Any, api: HttpApi, request: Request) -> Answer:
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answer] = loop.create_future()
        caller = HttpCaller(scope)
        if not request.packed and self._bursts and self._bursts.takes(api, request):
            return await self._bursts.answer(api, request, caller)
        if not request.packed and api.document_size(request) <= LARGE:
            self._pool.submit(self._respond, loop, answered, api, request, caller)
            return await answered
        large = LargeDocument(self._documents)
        watching = loop.create_task(_watch(receive, large))
        self._pool.submit(self._sort, loop, answered, api, request, caller, large)
        try:
            return await answered
        finally:
            watching.cancel()

    def _sort(
        self,
        loop: asyncio.AbstractEventLoop,
        answered: asyncio.Future[Answer],
        api: HttpApi,
        request: Request,
        caller: HttpCaller,
        large: LargeDocument,
    ) -> None:
        """Answer a request, or give it to the threads for large documents."""
        if request.is_large():
            request.large = large
            self._large.submit(self._respond, loop, answered, api, request, caller)
        else:
            self._respond(loop, answered, api, request, caller)

    def _respond(
        self,
        loop: asyncio.AbstractEventLoop,
        answered: asyncio.Future[Answer],
        api: HttpApi,
        request: Request,
        caller: HttpCaller,
    ) -> None:
        context = begin(api.method(request), None, seconds_waited())
        self._recorder.begin(context)
        answer = api.respond(request)
        self._recorder.rest([(context, caller)])
        loop.call_soon_threadsafe(_set, answered, answer)


async def _watch(receive: Any, large: LargeDocument) -> None:
    """Tell the document when the client goes. After the body, `receive` returns only then."""
    await receive()
    large.client_has_gone = True


def in_thread(page: Callable[[str], Answer]) -> Callable[[str], Awaitable[Answer]]:
    """Run a page in a thread, because it asks other processes. The answer is 503 when it raises `ServingError`."""

    async def answer(host: str) -> Answer:
        try:
            return await asyncio.get_running_loop().run_in_executor(None, page, host)
        except ServingError as error:
            return json_answer(503, {"error": error.message})

    return answer


def _host(scope: Any) -> str:
    """The Host header of the request; empty when there is none."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")


def _set(future: asyncio.Future[Answer], answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)


async def _send(send: Any, answer: Answer, method: str) -> None:
    """Send an answer, a large one as fast as the client takes it; returns when most of it has gone."""
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in answer.headers.items()),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if method == "HEAD" else answer.body
    start = 0
    while len(body) - start > _SENT_AT_A_TIME:
        part = body[start : start + _SENT_AT_A_TIME]
        await send({"type": "http.response.body", "body": part, "more_body": True})
        start += _SENT_AT_A_TIME
    await send({"type": "http.response.body", "body": body[start:] if start else body})
