"""What the HTTP server and its bursts need of an API: TensorFlow Serving's (api.py), and the other protocol's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from atelier_serving.inference.joining import HeldServables, Member, Result
from atelier_serving.inference.predict import Task
from atelier_serving.request_context import RequestContext
from atelier_serving.rest.answer import Answer
from atelier_serving.rest.request import Request


class JoinedRequest(Member):
    """A request that was run with others. `form` is what its API needs to write its answer."""

    __slots__ = ("form", "request")

    request: Request
    form: Any


class HttpApi(Protocol):
    """All paths with one beginning."""

    @property
    def packings(self) -> tuple[str, ...]:
        """The content encodings of bodies that it unpacks."""

    def method(self, request: Request) -> str:
        """The name of what a request asks for, in metrics and logs."""

    def document_size(self, request: Request) -> int:
        """How many bytes of a body are JSON; a packed body as it came."""

    def respond(self, request: Request) -> Answer:
        """Answer a request, and take the body out of it. Never raises. The caller ends `request.large` afterwards."""

    def takes(self, request: Request) -> bool:
        """Whether a request with a small body may be run with others."""

    def joinable(self, request: Request, context: RequestContext, held: HeldServables) -> tuple[Task, Any]:
        """What such a request has to run, and its form. Takes the body out of it.

        The servable is kept loaded by `held`. Raises `ServingError`, among others.
        """

    def answers(self, members: Sequence[JoinedRequest], found: Sequence[Result]) -> list[Answer]:
        """The answers of requests that ran together. A context of one that failed has the error."""
