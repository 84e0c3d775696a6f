"""Messages of TensorFlow Serving as JSON text, in the layout of protobuf's printer."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

# Above this limit protobuf writes floats with an exponent.
_EXACT = 1e15


def as_document(message: Message) -> dict[str, Any]:
    """The message as a document with every field, also those that have their default value."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def printed(document: dict[str, Any]) -> str:
    """JSON as protobuf prints it: indented by one blank for each level, whole floats without decimals."""
    return json.dumps(_whole(document), indent=1, ensure_ascii=False) + "\n"


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        # Negative zero keeps its sign.
        return int(value) if value or str(value)[0] != "-" else value
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value
