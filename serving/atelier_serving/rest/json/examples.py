"""JSON to tf.Examples: the body of classify and regress.

Rules and texts: util/json_tensor.cc at 2.20.0. The JSON type decides the type of the feature: a whole number, true and
false give int64, a number with a fraction gives float, a string and a base64 object give bytes.
"""

from __future__ import annotations

from typing import Any

from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import input_pb2

from atelier_serving.rest.json.document import kind, shown, to_bytes
from atelier_serving.rest.json.values import Spend, decode_base64, is_base64, is_list
from atelier_serving.status import invalid

# Bytes of memory, at most: of an example, of a feature, and of a value in protobuf's arena, where a list that grows
# leaves its smaller predecessors behind, and a copy is made of it.
_EXAMPLE, _FEATURE, _VALUE = 160, 320, 64
_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def read_examples(document: dict[str, Any], inputs: input_pb2.Input, spend: Spend) -> None:
    """Fill `inputs` from `examples` and `context`. Raises `ServingError`.

    `spend` is told of the bytes of memory that this takes.
    """
    has_context = "context" in document
    if has_context:
        _example(document["context"], inputs.example_list_with_context.context, spend)
    if "examples" not in document:
        text = "When method is classify, key 'examples' is expected and was not found"
        raise invalid(f"JSON Value: {shown(document)} {text}")
    examples = document["examples"]
    if not is_list(examples):
        raise invalid(f"JSON Value: {shown(document)} Expecting 'examples' value to be an list/array")
    if not len(examples):
        raise invalid(f"JSON Value: {shown(document)} 'examples' value is an empty array")
    target = inputs.example_list_with_context if has_context else inputs.example_list
    for example in examples:
        _example(example, target.examples.add(), spend)


def _example(value: Any, example: example_pb2.Example, spend: Spend) -> None:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {kind(value)}")
    # An empty context must be set as well.
    example.SetInParent()
    spend(_EXAMPLE + _FEATURE * len(value))
    for name, content in value.items():
        feature = feature_pb2.Feature()
        items = content if is_list(content) else [content]
        spend(2 * len(name) + _VALUE * len(items))
        for item in items:
            _add(item, name, feature, spend)
        try:
            example.features.feature[name].CopyFrom(feature)
        except ValueError:
            raise invalid(f"Feature: {name!r} has a name that is not UTF-8.") from None


def _add(value: Any, name: str, feature: feature_pb2.Feature, spend: Spend) -> None:
    if isinstance(value, bool):
        _list(feature, "int64_list", name).append(int(value))
    elif isinstance(value, float) or (isinstance(value, int) and not -(2**63) <= value < 2**64):
        # The list rounds the number to float32.
        _list(feature, "float_list", name).append(float(value))
    elif isinstance(value, int):
        values = _list(feature, "int64_list", name)
        if value >= 2**63:
            raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
        values.append(value)
    elif isinstance(value, str):
        # The bytes, and twice in protobuf's arena.
        spend(3 * len(value))
        _list(feature, "bytes_list", name).append(to_bytes(value))
    elif is_base64(value):
        spend(2 * len(value["b64"]))
        _list(feature, "bytes_list", name).append(decode_base64(value, spend))
    else:
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {kind(value)}")


def _list(feature: feature_pb2.Feature, field: str, name: str) -> Any:
    given = feature.WhichOneof("kind")
    if given not in (None, field):
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {_KINDS[given]}")
    return getattr(feature, field).value
