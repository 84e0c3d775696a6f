"""Reads a serialized ModelInferRequest with the official messages of a module: what it holds, and its bytes anew."""

from __future__ import annotations

import base64
import importlib
import json
import sys
from pathlib import Path


def main(module: str, path: str) -> None:
    """Print what the message holds."""
    kind = importlib.import_module(module).ModelInferRequest
    message = kind.FromString(Path(path).read_bytes())
    before = message.ByteSize()
    message.DiscardUnknownFields()
    told = {
        "model": [message.model_name, message.model_version],
        "parameters": {name: value.string_param for name, value in message.parameters.items()},
        "outputs": [output.name for output in message.outputs],
        "inputs": [
            [item.name, item.datatype, list(item.shape), base64.b64encode(raw).decode()]
            for item, raw in zip(message.inputs, message.raw_input_contents, strict=True)
        ],
        "unknown": before - message.ByteSize(),
        "written": base64.b64encode(message.SerializeToString(deterministic=True)).decode(),
    }
    print(json.dumps(told))


main(*sys.argv[1:])
