"""An inference request over HTTP: a JSON object, and behind it the bytes of binary tensors.

Sources: "Inference Request JSON Object" of the Open Inference Protocol, and Triton's extension_binary_data.md:
`Inference-Header-Content-Length` says where the JSON ends; tensors with `binary_data_size` follow in their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from atelier_serving.inference.predict import Task
from atelier_serving.models.servable import Servable
from atelier_serving.oip import parameters as known
from atelier_serving.oip.json_data import from_data
from atelier_serving.oip.raw import from_raw
from atelier_serving.oip.task import TaskBuilder
from atelier_serving.rest.document_memory import LargeDocument
from atelier_serving.rest.json.document import parse_document
from atelier_serving.rest.json.values import is_list, uncounted
from atelier_serving.rest.predict import size_of
from atelier_serving.rest.request import Request
from atelier_serving.status import invalid

HEADER = "inference-header-content-length"
_DIGITS = 12
# Over gRPC an eighth of the memory that strings take is counted (tensors.py); documents count all of it.
_MEMORY_OF_A_CLAIM = 8


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """How a request wants its answer: the `id` to give back, and which outputs as binary data."""

    id: str | None
    binary: dict[str, bool]
    others_binary: bool

    def is_binary(self, output: str) -> bool:
        """Whether this output is to be binary data."""
        return self.binary.get(output, self.others_binary)


class InferDocument:
    """The document of a request, and the bytes behind it. Takes the body out of the request."""

    def __init__(self, request: Request) -> None:
        """Raises `ServingError` for a body that cannot be read."""
        self._request = request
        if request.large:
            request.large.begin()
        text, self._tail = _split(request, _body(request))
        self._document = parse_document(text, request.large.spend if request.large else None)
        self._parameters = known.of_document("The request", self._document)

    @property
    def signature(self) -> str:
        """The signature that is asked for; empty for the default one. Raises `ServingError`."""
        return known.signature_name(self._parameters.get(known.SIGNATURE, ""))

    def read(self, servable: Servable) -> tuple[Task, AnswerForm]:
        """What is asked of a servable, and how it is to be answered. Empties the document. Raises `ServingError`."""
        builder = TaskBuilder(servable, self.signature)
        for position, tensor in enumerate(_objects(self._document, "inputs", required=True)):
            self._read_input(builder, tensor, f"Input {position}")
        if len(self._tail):
            raise invalid(f"{len(self._tail)} bytes are left over behind the JSON object and its tensors.")
        form = self._form()
        task = builder.task(list(form.binary))
        self._document.clear()
        if self._request.large:
            self._request.large.holds(size_of(dict(task.feeds)))
        return task, form

    def _read_input(self, builder: TaskBuilder, tensor: dict[str, Any], owner: str) -> None:
        name = _text(tensor, "name", owner)
        owner = f'Input "{name}"'
        shape = _shape(tensor, owner)
        datatype = builder.expect(name, _text(tensor, "datatype", owner), shape)
        parameters = known.of_document(owner, tensor)
        known.refuse_foreign(name, parameters)
        spend = self._request.large.spend if self._request.large else uncounted
        if known.BINARY_SIZE not in parameters:
            if "data" not in tensor:
                raise invalid(f"{owner} has neither data nor the parameter {known.BINARY_SIZE}.")
            builder.feed(name, from_data(name, datatype, shape, tensor.pop("data"), spend))
        elif "data" in tensor:
            raise invalid(f"{owner} has data and the parameter {known.BINARY_SIZE}: send one of the two.")
        else:
            content = self._taken(owner, parameters[known.BINARY_SIZE])
            builder.feed(name, from_raw(name, datatype, shape, content, self._claim))

    def _claim(self, size: int) -> None:
        """Count what very many strings of a binary tensor take in memory. Raises `ServingError`."""
        request = self._request
        if request.large is None:
            request.large = LargeDocument(request.memory, takes_turns=False)
        request.large.spend(size * _MEMORY_OF_A_CLAIM)

    def _taken(self, owner: str, size: Any) -> memoryview:
        """The next bytes of the body."""
        if type(size) is not int or size < 0:
            raise invalid(f"{owner}: the parameter {known.BINARY_SIZE} must be a whole number of bytes.")
        if size > len(self._tail):
            raise invalid(
                f"{owner}: the parameter {known.BINARY_SIZE} is {size}, and {len(self._tail)} bytes are left behind "
                "the JSON object, whose length the header Inference-Header-Content-Length gives."
            )
        content, self._tail = self._tail[:size], self._tail[size:]
        return content

    def _form(self) -> AnswerForm:
        identifier = self._document.get("id")
        if identifier is not None and not _is_text(identifier):
            raise invalid("The request: id must be a string, in UTF-8.")
        others = known.flag("The request", self._parameters, known.BINARY_OUTPUT, False)
        binary: dict[str, bool] = {}
        for position, output in enumerate(_objects(self._document, "outputs", required=False)):
            name = _text(output, "name", f"Output {position}")
            owner = f'Output "{name}"'
            parameters = known.of_document(owner, output)
            known.refuse_foreign(name, parameters)
            if name in binary:
                raise invalid(f'The output "{name}" was asked for twice.')
            binary[name] = known.flag(owner, parameters, known.BINARY, others)
        return AnswerForm(identifier, binary, others)


def document_size(request: Request) -> int:
    """How many bytes of a body that is not packed are JSON, as its header says."""
    text = request.headers.get(HEADER, "")
    size = int(text) if _is_number(text) else len(request.body)
    return min(size, len(request.body))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def _body(request: Request) -> bytes:
    """The body, unpacked; the request has none afterwards."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "deflate"):
        raise invalid(f'The body has the content encoding "{encoding}": send gzip, deflate or none.')
    body = request.body
    if request.packed:
        body = request.unpacked(request.large.spend if request.large else uncounted)
        if not body:
            raise invalid(f"The body is no {encoding}, is cut short, or unpacks to more than 100 MB.")
    request.body = b""
    return body


def _split(request: Request, body: bytes) -> tuple[bytes, memoryview]:
    """The JSON and what is behind it."""
    text = request.headers.get(HEADER)
    if text is None:
        return body, memoryview(b"")
    size = int(text) if _is_number(text) else -1
    if not 0 <= size <= len(body):
        raise invalid(
            f'The header Inference-Header-Content-Length is "{text}": expected the bytes of the JSON object, '
            f"at most the {len(body)} of the body."
        )
    return body[:size], memoryview(body)[size:]


def _objects(document: dict[str, Any], key: str, required: bool) -> list[dict[str, Any]]:
    """The objects of a list of the document."""
    if key not in document and not required:
        return []
    items = document.get(key)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise invalid(f'The request: "{key}" must be a list of objects.')
    return items


def _text(item: dict[str, Any], key: str, owner: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        raise invalid(f'{owner}: "{key}" must be a string.')
    return value


def _is_text(value: Any) -> bool:
    """Whether it is a string that can be given back: bytes that are no UTF-8 were read as lone surrogates."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _shape(item: dict[str, Any], owner: str) -> tuple[int, ...]:
    value = item.get("shape")
    sizes = tuple(value) if is_list(value) else None  # type: ignore[arg-type]
    if sizes is None or any(type(size) is not int for size in sizes):
        raise invalid(f'{owner}: "shape" must be a list of whole numbers.')
    return sizes
