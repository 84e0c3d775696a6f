"""The same request for a terminal: curl, Python, and the client's command."""

from __future__ import annotations

import base64
import json
import math
import shlex
from typing import Any
from urllib.parse import quote

import numpy as np

from atelier_console.inputs.given import Inputs
from atelier_console.models.served_model import DEFAULT_SIGNATURE
from atelier_console.settings import Settings

# A picture of more values is no line to copy any more.
_LONGEST = 200_000


def lines(settings: Settings, model: str, version: int, inputs: Inputs, method: str) -> dict[str, str | None]:
    """The request as `curl`, `python` and `client`; None for what has no such form."""
    return {
        "curl": _curl(settings, model, version, inputs, method),
        "python": _python(settings, model, version, inputs, method),
        "client": _client(settings, model, version, inputs),
    }


def _curl(settings: Settings, model: str, version: int, inputs: Inputs, method: str) -> str | None:
    verb = "predict"
    body: dict[str, Any] = (
        {} if inputs.signature == DEFAULT_SIGNATURE else {"signature_name": inputs.signature}
    )
    if inputs.rows is not None:
        verb = "regress" if method.endswith("regress") else "classify"
        body["examples"] = inputs.rows
    else:
        body["inputs"] = {name: _plain(np.asarray(array)) for name, array in inputs.arrays.items()}
    text = json.dumps(body)
    if len(text) > _LONGEST:
        return None
    url = f"{settings.shown_rest}/v1/models/{quote(model, safe='')}/versions/{version}:{verb}"
    return f"curl -s {shlex.quote(url)} -d {shlex.quote(text)}"


def _python(settings: Settings, model: str, version: int, inputs: Inputs, method: str) -> str | None:
    target = f"Client({settings.shown_target!r}, {model!r})"
    last = f"version={version}" + (
        "" if inputs.signature == DEFAULT_SIGNATURE else f", signature={inputs.signature!r}"
    )
    if inputs.picture is not None:
        [(name, array)] = inputs.arrays.items()
        shaped = (
            "" if array.shape[1:] == inputs.picture.pixels.shape else f".reshape({[1, *array.shape[1:]]})"
        )
        if inputs.picture.pixels.ndim == 3 and inputs.picture.pixels.shape[2] == 1:
            shaped = f".reshape({[1, *array.shape[1:]]})"
        scaled = " / np.float32(255)" if array.dtype == np.float32 else ""
        return (
            "import numpy as np\nfrom PIL import Image\nfrom atelier_client import Client\n\n"
            f'pixels = np.asarray(Image.open("seen.png"))[None]{shaped}{scaled}\n'
            f"with {target} as client:\n    print(client.predict({{{name!r}: pixels}}, {last}))\n"
        )
    if inputs.rows is not None:
        call = "regress" if method.endswith("regress") else "classify"
        given = _literal(inputs.rows)
    else:
        call = "predict"
        given = _literal({name: np.asarray(array).tolist() for name, array in inputs.arrays.items()})
    if len(given) > _LONGEST:
        return None
    return (
        "from atelier_client import Client\n\n"
        f"with {target} as client:\n    print(client.{call}({given}, {last}))\n"
    )


def _client(settings: Settings, model: str, version: int, inputs: Inputs) -> str | None:
    options = ["--target", settings.shown_target, "--model", model, "--version", str(version)]
    if settings.shown_target == settings.target:
        # Who has another address for the server has no such folder either.
        options += ["--models", str(settings.models)]
    if inputs.signature != DEFAULT_SIGNATURE:
        options += ["--signature", inputs.signature]
    tail = shlex.join(options)
    if inputs.picture is not None:
        return f"atelier-client predict seen.png {tail}"
    if inputs.text is not None:
        return f"atelier-client predict {shlex.quote(f'--text={inputs.text}')} {tail}"
    arrays = {name: np.asarray(array) for name, array in inputs.arrays.items()}
    counts = {len(array) if array.ndim else -1 for array in arrays.values()}
    if inputs.rows is not None or len(counts) != 1 or counts == {-1}:
        return None
    rows = [
        json.dumps(
            {name: _without_nan(_texts(array[row : row + 1].tolist()[0])) for name, array in arrays.items()}
        )
        for row in range(counts.pop())
    ]
    text = "\n".join(rows)
    return (
        None
        if len(text) > _LONGEST
        else f"printf '%s\\n' {shlex.quote(text)} | atelier-client predict - {tail}"
    )


def _plain(array: Any) -> Any:
    """The array's values for JSON: texts as they are where they are UTF-8, else in base64."""
    return _texts(array.tolist())


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    return value


def _without_nan(value: Any) -> Any:
    """A missing number is null in JSON lines (docs/contracts.md, section 2)."""
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _literal(value: Any) -> str:
    """The value as Python reads it; `repr` writes nan and inf, which are no names there."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return f'float("{value}")' if isinstance(value, float) and not math.isfinite(value) else repr(value)
