"""The page at `/`: models, versions, states, signatures, and a curl command for each signature that REST can carry."""

from __future__ import annotations

import json
import math
import re
import shlex
from html import escape
from typing import Any

from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from atelier_serving.models.cluster_view import ClusterView
from atelier_serving.models.manager import Manager
from atelier_serving.models.version import VersionState
from atelier_serving.rest.answer import Answer
from atelier_serving.status import ServingError

_INTEGERS = ("DT_INT8", "DT_INT16", "DT_INT32", "DT_INT64", "DT_UINT8", "DT_UINT32", "DT_UINT64")
_VALUES: dict[str, Any] = {"DT_FLOAT": 0.5, "DT_DOUBLE": 0.5, "DT_BOOL": True, "DT_STRING": "text"}
_VALUES |= dict.fromkeys(_INTEGERS, 0)
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
# With more values the command makes the example with Python.
_MAX_LITERAL = 64
_STYLE = (
    "body{font:15px system-ui;margin:2em auto;max-width:60em;padding:0 1em;color-scheme:light dark}"
    "td,th{text-align:left;padding:.2em 1em .2em 0}pre{overflow-x:auto;padding:.6em;border:1px solid #8888}"
)


class IndexPage:
    """Renders the models of the manager. `target` is the REST address in the commands.

    The states of versions come from the `cluster`, as in `Api`.
    """

    def __init__(self, manager: Manager, cluster: ClusterView, target: str, secure: bool) -> None:
        self._manager = manager
        self._cluster = cluster
        self._scheme = "https" if secure else "http"
        self._base = f"{self._scheme}://{target}"

    def page(self, host: str = "") -> Answer:
        """The page. `host` is the Host header of the request: the address that reaches this server from the reader."""
        base = self._base
        if _HOST.fullmatch(host):
            base = f"{self._scheme}://{host}"
        parts = [
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            f"<title>atelier-serving</title><style>{_STYLE}</style>",
            "<h1>Models</h1>",
        ]
        names = self._manager.names()
        parts += [self._model(base, name) for name in names] or ["<p>None is configured.</p>"]
        links = " · ".join(f'<a href="{path}">{path}</a>' for path in ("/healthz", "/readyz"))
        return Answer(200, "\n".join([*parts, f"<p>{links}"]).encode(), "text/html; charset=utf-8")

    def _model(self, base: str, name: str) -> str:
        versions = self._cluster.versions(name)
        rows = "".join(
            f"<tr><td>{v.number}<td>{v.state.name}<td>{escape(str(v.error or ''))}" for v in versions
        )
        table = (
            f"<table><tr><th>version<th>state<th>error{rows}</table>" if rows else "<p>No version yet.</p>"
        )
        newest = next((v.number for v in versions if v.state == VersionState.AVAILABLE), None)
        return f"<h2>{escape(name)}</h2>{table}{self._signatures(base, name, newest) if newest else ''}"

    def _signatures(self, base: str, name: str, number: int) -> str:
        try:
            with self._manager.use(name, number, None) as (servable, _):
                signatures = dict(servable.signatures)
        except ServingError:
            # The version was unloaded after the table was made.
            return ""
        parts = []
        for key, signature in sorted(signatures.items()):
            if not signature.inputs:
                continue
            lines = [f"<h3>{escape(key)}</h3><table>"]
            for title, infos in (("input", signature.inputs), ("output", signature.outputs)):
                lines += [
                    f"<tr><td>{title}<td>{escape(alias)}<td>{escape(_described(infos[alias]))}"
                    for alias in sorted(infos)
                ]
            lines.append("</table>")
            if command := example(base, name, key, signature):
                lines.append(f"<pre>{escape(command)}</pre>")
            parts.append("".join(lines))
        return "".join(parts)


def example(base: str, model: str, key: str, signature: meta_graph_pb2.SignatureDef) -> str | None:
    """A curl command that sends one row to the signature. None when REST cannot."""
    inputs = signature.inputs
    if not signature.method_name.endswith("/predict"):
        return None
    if any(types_pb2.DataType.Name(info.dtype) not in _VALUES for info in inputs.values()):
        return None
    # When an input has no batch dimension, the inputs are sent in the columnar format.
    columns = any(info.tensor_shape.unknown_rank or not info.tensor_shape.dim for info in inputs.values())
    skip = 0 if columns else 1
    named = {} if key == "serving_default" else {"signature_name": key}
    if sum(math.prod(_sizes(info, skip)) for info in inputs.values()) <= _MAX_LITERAL:
        values = {alias: _value(inputs[alias], skip) for alias in sorted(inputs)}
        bare = next(iter(values.values())) if len(values) == 1 else values
        text = json.dumps({**named, **({"inputs": bare} if columns else {"instances": [bare]})})
        source = f"printf %s {shlex.quote(text)}"
    else:
        # A Python expression is shorter: [0] * 784.
        shorter = [f"{json.dumps(alias)}: {_expression(inputs[alias], skip)}" for alias in sorted(inputs)]
        inner = (
            _expression(next(iter(inputs.values())), skip)
            if len(inputs) == 1
            else f"{{{', '.join(shorter)}}}"
        )
        body = "".join(f"{json.dumps(name)}: {json.dumps(value)}, " for name, value in named.items())
        body += f'"inputs": {inner}' if columns else f'"instances": [{inner}]'
        source = f"python3 -c {shlex.quote(f'import json; print(json.dumps({{{body}}}))')}"
    return f"{source} | curl --data @- {shlex.quote(f'{base}/v1/models/{model}:predict')}"


def _sizes(info: meta_graph_pb2.TensorInfo, skip: int) -> list[int]:
    return [dim.size if dim.size >= 0 else 1 for dim in info.tensor_shape.dim][skip:]


def _value(info: meta_graph_pb2.TensorInfo, skip: int) -> Any:
    value = _VALUES[types_pb2.DataType.Name(info.dtype)]
    for size in reversed(_sizes(info, skip)):
        value = [value] * size
    return value


def _expression(info: meta_graph_pb2.TensorInfo, skip: int) -> str:
    value = _VALUES[types_pb2.DataType.Name(info.dtype)]
    text = json.dumps(value) if isinstance(value, str) else repr(value)
    for size in reversed(_sizes(info, skip)):
        text = f"[{text}] * {size}"
    return text


def _described(info: meta_graph_pb2.TensorInfo) -> str:
    kind = types_pb2.DataType.Name(info.dtype)[3:].lower()
    if info.tensor_shape.unknown_rank:
        return f"{kind} of any shape"
    sizes = ", ".join("?" if dim.size < 0 else str(dim.size) for dim in info.tensor_shape.dim)
    return f"{kind} [{sizes}]"
