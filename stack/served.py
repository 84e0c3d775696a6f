"""What the host asks the service over REST: the versions of a model, and the signature for an example request."""

from __future__ import annotations

import http.client
import json
import math
import re
import shlex
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Sequence
from typing import Any

ANSWER_SECONDS = 5.0
# A request with more values than this is made by a line of Python instead of being written out.
WRITTEN_VALUES = 16
_LEAVES: dict[str, Any] = {
    "DT_STRING": "text",
    "DT_BOOL": False,
    "DT_FLOAT": 0.0,
    "DT_DOUBLE": 0.0,
    **{f"DT_{sign}INT{bits}": 0 for sign in ("", "U") for bits in (8, 16, 32, 64)},
}
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
_NAME = re.compile(r"""\bname\s*:\s*["']([^"']+)["']""")
_BASE_PATH = re.compile(r"""\bbase_path\s*:\s*["']([^"']+)["']""")


def models_of(config: str) -> list[str]:
    """The names of the models in a models.config, in its order."""
    return list(dict.fromkeys(_NAME.findall(_COMMENT.sub("", config))))


def base_paths(config: str) -> list[str]:
    """The folders of the models in a models.config."""
    return _BASE_PATH.findall(_COMMENT.sub("", config))


def versions(rest_ports: Sequence[int], model: str) -> dict[int, str] | None:
    """From version to state, without the versions that have ended; None when no server knows the model.

    A state that not all servers have is followed by how many have it: `AVAILABLE on 2 of 3`.
    """
    found = [_versions_of(port, model) for port in rest_ports]
    if all(states is None for states in found):
        return None
    merged: dict[int, str] = {}
    for version in sorted({version for states in found for version in states or {}}, reverse=True):
        states = [known[version] for known in found if known and version in known]
        counts = Counter(states)
        merged[version] = (
            states[0]
            if counts[states[0]] == len(found)
            else ", ".join(f"{state} on {count} of {len(found)}" for state, count in counts.items())
        )
    return merged


def newest(rest_ports: Sequence[int], model: str) -> int | None:
    """The newest version that answers requests on every server, or None."""
    states = versions(rest_ports, model) or {}
    return max((version for version, state in states.items() if state == "AVAILABLE"), default=None)


def labelled(rest_ports: Sequence[int], model: str, label: str) -> int | None:
    """The version that a label names on every server that answers, or None."""
    known = [version for port in rest_ports if (version := _labelled_of(port, model, label)) is not _SILENT]
    return known[0] if known and len(set(known)) == 1 else None


# A server that does not answer at all, which is another thing than one without the label.
_SILENT = -1


def _labelled_of(rest_port: int, model: str, label: str) -> int | None:
    document = _get(rest_port, f"{model}/labels/{label}/metadata")
    try:
        return int(document["model_spec"]["version"])
    except (KeyError, TypeError, ValueError):
        # It is asked for the states too: without the label the answer to the first question is an error.
        return None if _get(rest_port, model) is not None else _SILENT


def _versions_of(rest_port: int, model: str) -> dict[int, str] | None:
    document = _get(rest_port, model)
    try:
        entries = document["model_version_status"]
        return {int(entry["version"]): entry["state"] for entry in entries if entry["state"] != "END"}
    except (KeyError, TypeError, ValueError):
        return None


def example_request(rest_port: int, model: str, label: str = "") -> str | None:
    """A shell line that sends one row to the model, made from its signature; None when REST cannot carry one."""
    document = _get(rest_port, f"{model}/metadata")
    try:
        inputs = document["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]
        tensors = {name: (_row_shape(tensor), _LEAVES[tensor["dtype"]]) for name, tensor in inputs.items()}
    except (KeyError, TypeError, ValueError):
        return None
    place = f"{model}/labels/{label}" if label else model
    url = shlex.quote(f"http://127.0.0.1:{rest_port}/v1/models/{place}:predict")
    if sum(math.prod(shape) for shape, _ in tensors.values()) <= WRITTEN_VALUES:
        rows = {name: _nested(shape, leaf) for name, (shape, leaf) in tensors.items()}
        body = json.dumps({"instances": [rows if len(rows) > 1 else next(iter(rows.values()))]})
        return f"curl -s -d {shlex.quote(body)} {url}"
    codes = {name: _code(shape, leaf) for name, (shape, leaf) in tensors.items()}
    row = next(iter(codes.values()))
    if len(codes) > 1:
        row = "{" + ", ".join(f"{json.dumps(name)}: {code}" for name, code in codes.items()) + "}"
    program = f'import json; print(json.dumps({{"instances": [{row}]}}))'
    return f"python3 -c {shlex.quote(program)} | curl -s -d @- {url}"


def _row_shape(tensor: dict[str, Any]) -> list[int]:
    """The shape of one row of an input; unknown sizes become 1. Raises `ValueError` when it has no batch dimension."""
    sizes = [int(dimension["size"]) for dimension in tensor["tensor_shape"].get("dim", [])]
    if not sizes or sizes[0] > 0:
        raise ValueError("no batch dimension")
    return [size if size > 0 else 1 for size in sizes[1:]]


def _nested(shape: list[int], leaf: Any) -> Any:
    return [_nested(shape[1:], leaf) for _ in range(shape[0])] if shape else leaf


def _code(shape: list[int], leaf: Any) -> str:
    """Python code of the same nested list."""
    code = json.dumps(leaf) if isinstance(leaf, str) else repr(leaf)
    for size in reversed(shape):
        code = f"[{code}] * {size}"
    return code


def _get(rest_port: int, path: str) -> Any:
    """The JSON at /v1/models/<path>, or None. Proxies that the environment names are not used."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    url = f"http://127.0.0.1:{rest_port}/v1/models/{urllib.parse.quote(path)}"
    try:
        with opener.open(url, timeout=ANSWER_SECONDS) as answer:
            return json.load(answer)
    except (OSError, ValueError, http.client.HTTPException):
        return None
