"""The protocol over HTTP: the paths under /v2/ that need a model. Its errors are {"error": "a sentence"}."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import unquote

from atelier_serving.inference.exchange import exchange_of
from atelier_serving.inference.joining import HeldServables, Result
from atelier_serving.inference.predict import Task
from atelier_serving.oip.infer_answer import infer_answer
from atelier_serving.oip.infer_document import AnswerForm, InferDocument, document_size
from atelier_serving.oip.served_models import PLATFORM, ServedModels
from atelier_serving.oip.signature import TensorForm
from atelier_serving.request_context import RequestContext, current
from atelier_serving.rest import cors
from atelier_serving.rest.answer import HTTP_STATUS, Answer, shortened
from atelier_serving.rest.http_api import JoinedRequest
from atelier_serving.rest.request import BAD_ESCAPE, Request
from atelier_serving.status import Code, ServingError, invalid, of_exception

_log = logging.getLogger(__name__)

_PATH = re.compile(
    r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<part>/ready|/infer)?", re.ASCII
)
_METHOD_NOT_ALLOWED = 405


class InferenceApi:
    """An `HttpApi`."""

    packings = ("gzip", "deflate")

    def __init__(self, models: ServedModels, allows_cors: bool) -> None:
        self._models = models
        self._headers = cors.HEADERS if allows_cors else {}

    def method(self, request: Request) -> str:
        """See `HttpApi`."""
        return "infer" if self.takes(request) else "model"

    def document_size(self, request: Request) -> int:
        """See `HttpApi`."""
        return document_size(request)

    def takes(self, request: Request) -> bool:
        """See `HttpApi`."""
        found = _PATH.fullmatch(request.path)
        return bool(found and found["part"] == "/infer") and request.method == "POST"

    def respond(self, request: Request) -> Answer:
        """See `HttpApi`."""
        if request.method == "OPTIONS":
            return cors.preflight(request, self._headers)
        return self._answered(request, current(), lambda: self._dispatch(request))

    def joinable(
        self, request: Request, context: RequestContext, held: HeldServables
    ) -> tuple[Task, AnswerForm]:
        """See `HttpApi`."""
        name, version, _ = _named(request.path)
        document = InferDocument(request)
        servable, _ = held.get(request.path, context, lambda: self._models.use(name, version))
        return document.read(servable)

    def answers(self, members: Sequence[JoinedRequest], found: Sequence[Result]) -> list[Answer]:
        """See `HttpApi`."""
        return [
            self._answered(member.request, member.context, lambda m=member, r=result: self._written(m, r))  # type: ignore[misc]
            for member, result in zip(members, found, strict=True)
        ]

    def _written(self, member: JoinedRequest, result: Result) -> Answer:
        if isinstance(result, Exception):
            raise result
        context = member.context
        return infer_answer(
            member.request, context.model, context.version, member.form, result, self._headers
        )

    def _answered(self, request: Request, context: RequestContext, answer: Callable[[], Answer]) -> Answer:
        """An answer, or that of the error it raises, which the context has then."""
        try:
            made = answer()
        except Exception as error:
            failure = of_exception(error)
            context.code = failure.code.name
            if failure.code == Code.INTERNAL:
                _log.error(f"internal error: {failure.message}")
            made = self._document(HTTP_STATUS.get(failure.code, 500), {"error": shortened(failure.message)})
        # Here no part of the document is alive any more.
        if request.large:
            request.large.answered(len(made.body))
        return made

    def _dispatch(self, request: Request) -> Answer:
        name, version, part = _named(request.path)
        needed = "POST" if part == "/infer" else "GET"
        if request.method != needed and not (needed == "GET" and request.method == "HEAD"):
            current().code = Code.UNIMPLEMENTED.name
            return self._document(_METHOD_NOT_ALLOWED, {"error": f"{request.path} is asked with {needed}."})
        if part == "/infer":
            return self._infer(name, version, request)
        if part == "/ready":
            self._models.check_ready(name, version)
            return self._document(200, {"name": name, "ready": True})
        told = self._models.metadata(name, version)
        document = {
            "name": told.name,
            "versions": told.versions,
            "platform": PLATFORM,
            "inputs": _tensors(told.inputs),
            "outputs": _tensors(told.outputs),
        }
        return self._document(200, document)

    def _infer(self, name: str, version: str, request: Request) -> Answer:
        document = InferDocument(request)
        with self._models.use(name, version) as (servable, number):
            task, form = document.read(servable)
            outputs = task.run()
        context = current()
        if context.keep:
            context.keep(exchange_of(context, task, outputs))
        # The inputs are not needed any more.
        del document, task
        return infer_answer(request, name, number, form, outputs, self._headers)

    def _document(self, status: int, document: Mapping[str, object]) -> Answer:
        # Names may have what is no UTF-8; json writes all of it in ASCII.
        return Answer(status, json.dumps(document).encode(), headers=dict(self._headers))


def _named(path: str) -> tuple[str, str, str]:
    """Model, version and the last part of a path. Raises `ServingError`."""
    if BAD_ESCAPE.search(path):
        raise invalid(f"The path {path} has a % without two hexadecimal digits after it.")
    found = _PATH.fullmatch(path)
    if not found:
        text = f"There is nothing at {path}: expected /v2/models/NAME[/versions/VERSION][/ready or /infer]."
        raise ServingError(Code.NOT_FOUND, text)
    name, version = (unquote(found[part] or "", errors="replace") for part in ("name", "version"))
    return name, version, found["part"] or ""


def _tensors(forms: Sequence[TensorForm]) -> list[dict[str, object]]:
    return [{"name": form.name, "datatype": form.type_name, "shape": form.sizes()} for form in forms]
