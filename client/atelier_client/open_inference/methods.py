"""The protocol's methods. Over REST their paths are those of inference_rest.md (rest.py)."""

from __future__ import annotations

from typing import Any

from atelier_client.protos import open_inference_pb2 as pb
from atelier_client.transports.base import Method

_SERVICE = "/inference.GRPCInferenceService"


def _method(name: str, path: str) -> Method:
    messages: Any = pb
    return Method(
        name, f"{_SERVICE}/{path}", getattr(messages, f"{path}Request"), getattr(messages, f"{path}Response")
    )


INFER = _method("predict", "ModelInfer")
METADATA = _method("metadata", "ModelMetadata")
READY = _method("ready", "ModelReady")
SERVER = _method("server metadata", "ServerMetadata")
METHODS = (INFER, METADATA, READY, SERVER)
