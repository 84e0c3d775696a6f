"""An infer request and its answer as those of TensorFlow Serving, which a request log holds (docs/contracts.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from atelier_client.messages.tensors import NAMES, encode
from atelier_client.open_inference.datatypes import BYTES, CLIENT_NAMES
from atelier_client.open_inference.requests import DEFAULT_SIGNATURE, SIGNATURE
from atelier_client.open_inference.responses import outputs_of, version_number
from atelier_client.open_inference.tensors import decode
from atelier_client.protos import open_inference_pb2, serving_pb2

_NUMBERS = {name: number for number, name in NAMES.items()}


def as_predict(
    request: bytes, response: open_inference_pb2.ModelInferResponse
) -> tuple[serving_pb2.PredictRequest, serving_pb2.PredictResponse]:
    """The two messages. Strings and numbers keep their dtypes."""
    asked = open_inference_pb2.ModelInferRequest.FromString(request)
    mine = serving_pb2.PredictRequest(output_filter=[output.name for output in asked.outputs])
    spec = mine.model_spec
    spec.name = asked.model_name
    spec.signature_name = asked.parameters[SIGNATURE].string_param or DEFAULT_SIGNATURE
    if number := version_number(asked.model_version):
        spec.version.value = number
    elif asked.model_version:
        spec.version_label = asked.model_version
    _fill(mine.inputs, asked.inputs, asked.raw_input_contents)
    answer = serving_pb2.PredictResponse()
    answer.model_spec.name = asked.model_name
    answer.model_spec.version.value = version_number(response.model_version)
    if response.raw_output_contents:
        _fill(answer.outputs, response.outputs, response.raw_output_contents)
    else:
        for name, array in outputs_of(response).items():
            answer.outputs[name].ParseFromString(b"".join(encode(array)))
    return mine, answer


def _fill(tensors: Any, described: Iterable[Any], raw: Sequence[bytes]) -> None:
    for item, content in zip(described, raw, strict=True):
        if item.datatype == BYTES:
            array = decode(item.name, item.datatype, tuple(item.shape), content)
            tensors[item.name].ParseFromString(b"".join(encode(array)))
            continue
        tensor = tensors[item.name]
        tensor.dtype = _NUMBERS[CLIENT_NAMES[item.datatype]]
        for size in item.shape:
            tensor.tensor_shape.dim.add(size=size)
        tensor.tensor_content = content
