"""JSON to tensors: the REST API's row form (`instances`) and column form (`inputs`).

Rules and texts: util/json_tensor.cc at 2.20.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from atelier_serving.rest.json.document import shown
from atelier_serving.rest.json.values import Spend, Tensor, dense, is_base64, is_list
from atelier_serving.status import ServingError, invalid

_Infos = Mapping[str, meta_graph_pb2.TensorInfo]
# Rows that are read one by one are counted so many at a time, with these bytes each.
_ROWS, _ROW = 1024, 24


def signature_name(document: dict[str, Any]) -> str:
    """The signature name of the document, or an empty string. Raises `ServingError` if it is not a string."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        text = f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be a string value."
        raise invalid(text)
    return name


def read_inputs(document: dict[str, Any], infos: _Infos, spend: Spend) -> tuple[dict[str, np.ndarray], bool]:
    """The inputs by alias, and whether the document has the row form. Raises `ServingError`.

    `spend` is told of the bytes of memory that this takes.
    """
    if "instances" in document:
        if "inputs" in document:
            raise invalid(
                f"JSON Value: {shown(document)} Not formatted correctly expecting only one of "
                "'inputs' or 'instances' keys to exist "
            )
        instances = document["instances"]
        if not is_list(instances):
            raise invalid(f"JSON Value: {shown(document)} Expecting 'instances' to be an list/array")
        if not len(instances):
            raise invalid(f"JSON Value: {shown(document)} No values in 'instances' array")
        return _rows(instances, infos, spend), True
    if "inputs" in document:
        return _columns(document["inputs"], infos, spend), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _rows(instances: list[Any], infos: _Infos, spend: Spend) -> dict[str, np.ndarray]:
    if not isinstance(instances[0], dict) and len(infos) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    if isinstance(instances[0], dict) and not is_base64(instances[0]):
        if all(type(item) is dict and item.keys() == infos.keys() for item in instances):
            columns = {alias: [item[alias] for item in instances] for alias in infos}
            fast = {alias: dense(column, infos[alias].dtype, spend) for alias, column in columns.items()}
            whole = {alias: array for alias, array in fast.items() if array is not None}
            if len(whole) == len(infos):
                return whole
        return _object_rows(instances, infos, spend)
    alias = min(infos)
    array = dense(instances, infos[alias].dtype, spend)
    return {alias: array if array is not None else _plain_rows(instances, infos[alias].dtype, spend)}


def _object_rows(instances: list[Any], infos: _Infos, spend: Spend) -> dict[str, np.ndarray]:
    tensors = {alias: Tensor(info.dtype, spend) for alias, info in infos.items()}
    for position, item in enumerate(instances):
        if position % _ROWS == 0:
            spend(_ROW * _ROWS * len(infos))
        if not isinstance(item, dict) or is_base64(item):
            raise invalid(f"Expecting object but got list at item {position} of input list")
        for alias, value in item.items():
            try:
                if alias not in tensors:
                    raise invalid(f"JSON object: does not have named input: {alias}")
                tensors[alias].add_row(value)
            except ServingError as error:
                text = (
                    f"Failed to process element: {position} key: {alias} of 'instances' list. Error: {error}"
                )
                raise invalid(text) from None
        if item.keys() != infos.keys():
            raise invalid(
                f"Failed to process element: {position} of 'instances' list. JSON object: {shown(item)} "
                f"keys must be equal to: {','.join(sorted(infos))}"
            )
    return {alias: tensor.stacked(len(instances)) for alias, tensor in tensors.items()}


def _plain_rows(instances: list[Any], number: int, spend: Spend) -> np.ndarray:
    tensor = Tensor(number, spend)
    for position, item in enumerate(instances):
        if position % _ROWS == 0:
            spend(_ROW * _ROWS)
        if isinstance(item, dict) and not is_base64(item):
            raise invalid(f"Expecting value/list but got object at item {position} of input list")
        try:
            tensor.add_row(item)
        except ServingError as error:
            text = f"Failed to process element: {position} of 'instances' list. Error: {error}"
            raise invalid(text) from None
    return tensor.stacked(len(instances))


def _columns(inputs: Any, infos: _Infos, spend: Spend) -> dict[str, np.ndarray]:
    if not isinstance(inputs, dict) or is_base64(inputs):
        if len(infos) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        ((alias, info),) = infos.items()
        return {alias: _column(inputs, info.dtype, spend)}
    arrays = {}
    for alias, info in sorted(infos.items()):
        if alias not in inputs:
            raise invalid(f"Missing named input: {alias} in 'inputs' object.")
        arrays[alias] = _column(inputs[alias], info.dtype, spend)
    return arrays


def _column(value: Any, number: int, spend: Spend) -> np.ndarray:
    array = dense(value, number, spend) if is_list(value) else None
    if array is None:
        tensor = Tensor(number, spend)
        tensor.add(value)
        array = tensor.stacked()
    return array
