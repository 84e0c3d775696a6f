"""The REST API without the HTTP server: from a request to an answer.

Routing, codes and texts: model_servers/http_rest_api_handler.cc, http_rest_api_util.cc and http_server.cc at 2.20.0.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    regression_pb2,
)

from atelier_serving.inference.api import Api
from atelier_serving.inference.exchange import exchange_of
from atelier_serving.inference.joining import HeldServables, Result
from atelier_serving.inference.predict import Task
from atelier_serving.monitoring.exchange import Messages
from atelier_serving.request_context import RequestContext, current
from atelier_serving.rest import cors
from atelier_serving.rest.answer import HTML, HTTP_STATUS, Answer, html_page, shortened
from atelier_serving.rest.document_memory import LargeDocument
from atelier_serving.rest.http_api import JoinedRequest
from atelier_serving.rest.json import text as json_text
from atelier_serving.rest.json.document import parse_document, to_bytes
from atelier_serving.rest.json.examples import read_examples
from atelier_serving.rest.json.protos import as_document, printed
from atelier_serving.rest.json.tensors import signature_name
from atelier_serving.rest.json.values import uncounted
from atelier_serving.rest.predict import joined_texts, predict_task, predict_text
from atelier_serving.rest.request import BAD_ESCAPE, Request
from atelier_serving.status import Code, invalid, of_exception

_log = logging.getLogger(__name__)

_MODEL_SPEC = r"(?:(?:/versions/(?P<version>\d+))|(?:/labels/(?P<label>[^/:]+)))?"
_POST = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_MODEL_SPEC}:(?P<method>classify|regress|predict)",
    re.IGNORECASE | re.ASCII,
)
_GET = re.compile(
    rf"/v1/models(?:/(?P<name>[^/:]+))?{_MODEL_SPEC}(?P<part>/metadata)?", re.IGNORECASE | re.ASCII
)
_METHOD = re.compile(r":(predict|classify|regress)$")


class RestApi:
    """All paths under `/v1/`, an `HttpApi`. It only makes answers, so it does not depend on an HTTP server."""

    packings = ("gzip",)

    def __init__(self, api: Api, allows_cors: bool) -> None:
        self._api = api
        self._headers = cors.HEADERS if allows_cors else {}

    def method(self, request: Request) -> str:
        """See `HttpApi`."""
        found = _METHOD.search(request.path)
        return found[1] if found else "status"

    def document_size(self, request: Request) -> int:
        """See `HttpApi`."""
        return len(request.body)

    def takes(self, request: Request) -> bool:
        """See `HttpApi`."""
        return request.method == "POST" and request.path.endswith(":predict")

    def respond(self, request: Request) -> Answer:
        """Answer a request, and take the body out of it. Never raises.

        The caller ends `request.large` when the answer has been sent.
        """
        if BAD_ESCAPE.search(request.path):
            return Answer(400, html_page("400 Bad Request"), HTML)
        if request.method == "OPTIONS":
            return cors.preflight(request, self._headers)
        return self._answer(request, current(), lambda: self._dispatch(request))

    def _answer(self, request: Request, context: RequestContext, text: Callable[[], Iterable[str]]) -> Answer:
        """The answer of a text in pieces, or of the error that `text` raises, which the context has then."""
        answer = self._written(request, context, text)
        # Here no part of the document is alive any more.
        if request.large:
            request.large.answered(len(answer.body))
        return answer

    def _written(
        self, request: Request, context: RequestContext, text: Callable[[], Iterable[str]]
    ) -> Answer:
        try:
            encoded = map(to_bytes, text())
            body = request.large.gathered(encoded) if request.large else b"".join(encoded)
        except _UnreadablePathError:
            context.code = Code.INVALID_ARGUMENT.name
            return Answer(400, b"", headers=self._headers)
        except Exception as error:
            failure = of_exception(error)
            context.code = failure.code.name
            if failure.code == Code.INTERNAL:
                _log.error(f"internal error: {failure.message}")
            return Answer(
                HTTP_STATUS.get(failure.code, 500),
                to_bytes(json_text.error(shortened(failure.message))),
                headers=self._headers,
            )
        return Answer(200, body, headers=self._headers)

    def _dispatch(self, request: Request) -> Iterable[str]:
        """The text of the answer, in pieces."""
        method = request.method
        path = request.path
        # The patterns ignore case, but the method must be in lower case: `m:PREDICT` is no predict.
        if method == "POST" and (match := _POST.fullmatch(path)):
            model_spec = _model_spec(match)
            if match["method"] in ("predict", "classify", "regress"):
                document = _document(request)
                if match["method"] == "predict":
                    return self._predict(model_spec, document, request)
                answer = self._classify if match["method"] == "classify" else self._regress
                return [answer(model_spec, document, request.large)]
        if method == "GET" and (match := _GET.fullmatch(path)):
            model_spec = _model_spec(match)
            if not model_spec.name:
                raise invalid("Missing model name in request.")
            return [self._metadata(model_spec) if match["part"] == "/metadata" else self._status(model_spec)]
        raise invalid(f"Malformed request: {method} {path}")

    def _predict(
        self, model_spec: model_pb2.ModelSpec, document: dict[str, Any], request: Request
    ) -> Iterator[str]:
        """Predict from a parsed JSON document, and empty it. The result is the text of the answer, in pieces.

        There is no proto in between: it would copy every value twice. `request.large` counts first the inputs, later
        the outputs, in place of the document.
        """
        name = signature_name(document)
        with self._api.servable_of(model_spec) as (servable, _):
            task, as_rows = predict_task(servable, name, document, request.large)
            outputs = task.run()
        context = current()
        if context.keep:
            context.keep(exchange_of(context, task, outputs))
        # The inputs are not needed any more.
        del task
        return predict_text(request, outputs, as_rows)

    def joinable(self, request: Request, context: RequestContext, held: HeldServables) -> tuple[Task, bool]:
        """See `HttpApi`. The form says whether the request has the row form."""
        match = _POST.fullmatch(request.path)
        if not match:
            raise invalid(f"Malformed request: {request.method} {request.path}")
        model_spec = _model_spec(match)
        document = _document(request)
        name = signature_name(document)
        servable, _ = held.get(request.path, context, lambda: self._api.servable_of(model_spec))
        return predict_task(servable, name, document, None)

    def answers(self, members: Sequence[JoinedRequest], found: Sequence[Result]) -> list[Answer]:
        """See `HttpApi`."""
        texts = joined_texts(found) if all(member.form for member in members) else None
        answers = []
        for position, (member, result) in enumerate(zip(members, found, strict=True)):
            text = (
                partial(iter, texts[position : position + 1])
                if texts
                else partial(predict_text, member.request, result, member.form)
            )
            answers.append(self._answer(member.request, member.context, text))
        return answers

    def _classify(
        self, model_spec: model_pb2.ModelSpec, document: dict[str, Any], large: LargeDocument | None
    ) -> str:
        request = classification_pb2.ClassificationRequest(model_spec=model_spec)
        _fill(request, document, large)
        response = self._api.classify(request)
        if keep := current().keep:
            keep(Messages("Classify", request, response))
        return json_text.classification(response.result)

    def _regress(
        self, model_spec: model_pb2.ModelSpec, document: dict[str, Any], large: LargeDocument | None
    ) -> str:
        request = regression_pb2.RegressionRequest(model_spec=model_spec)
        _fill(request, document, large)
        response = self._api.regress(request)
        if keep := current().keep:
            keep(Messages("Regress", request, response))
        return json_text.regression(response.result)

    def _status(self, model_spec: model_pb2.ModelSpec) -> str:
        response = self._api.status(get_model_status_pb2.GetModelStatusRequest(model_spec=model_spec))
        return printed(as_document(response))

    def _metadata(self, model_spec: model_pb2.ModelSpec) -> str:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=model_spec, metadata_field=["signature_def"]
        )
        response = self._api.metadata(request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        version = str(response.model_spec.version.value)
        named = {"name": response.model_spec.name, "signature_name": "", "version": version}
        # The text consists of two documents, as in TensorFlow Serving.
        definitions = printed(as_document(signatures))
        return f'{{\n"model_spec":{printed(named)},\n"metadata": {{"signature_def": {definitions}}}\n}}\n'


class _UnreadablePathError(Exception):
    """The path has the right form, but the version is no int64. Then the answer has an empty body."""


def _model_spec(match: re.Match[str]) -> model_pb2.ModelSpec:
    # A proto's string cannot contain bytes that are no UTF-8.
    model_spec = model_pb2.ModelSpec(name=unquote(match["name"] or "", errors="replace"))
    if match["version"]:
        number = int(match["version"][:30])
        if number >= 2**63:
            raise _UnreadablePathError
        model_spec.version.value = number
    if match["label"]:
        model_spec.version_label = unquote(match["label"], errors="replace")
    return model_spec


def _fill(request: Any, document: dict[str, Any], large: LargeDocument | None) -> None:
    """Read the signature name and the examples of a classify or regress body into the request, and empty the body."""
    name = signature_name(document)
    # No signature has a name that is no UTF-8.
    request.model_spec.signature_name = to_bytes(name).decode("utf-8", "replace")
    examples = 0

    def spend(size: int) -> None:
        nonlocal examples
        examples += size
        if large:
            large.spend(size)

    read_examples(document, request.input, spend)
    document.clear()
    if large:
        large.holds(examples)


def _document(request: Request) -> dict[str, Any]:
    """Unpack and parse the request's body, and take it out of the request."""
    spend = None
    if request.large:
        spend = request.large.spend
        request.large.begin()
    body = request.body
    if request.packed:
        body = request.unpacked(spend or uncounted)
    request.body = b""
    return parse_document(body, spend)
