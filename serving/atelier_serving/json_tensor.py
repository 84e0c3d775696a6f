"""JSON to tensors and back: the REST API's row form (`instances`) and column form (`inputs`).

Rules and texts: util/json_tensor.cc at 2.20.0.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from atelier_serving.status import Code, ServingError, invalid

_DTYPES: dict[int, tuple[str, Any]] = {
    types_pb2.DT_FLOAT: ("float", np.float32),
    types_pb2.DT_DOUBLE: ("double", np.float64),
    types_pb2.DT_INT8: ("int8", np.int8),
    types_pb2.DT_INT16: ("int16", np.int16),
    types_pb2.DT_INT32: ("int32", np.int32),
    types_pb2.DT_INT64: ("int64", np.int64),
    types_pb2.DT_UINT8: ("uint8", np.uint8),
    types_pb2.DT_UINT32: ("uint32", np.uint32),
    types_pb2.DT_UINT64: ("uint64", np.uint64),
    types_pb2.DT_BOOL: ("bool", np.bool_),
    types_pb2.DT_STRING: ("string", object),
}
_RANGE_CHECKED = (np.int32, np.int64, np.uint32, np.uint64)
_SHOWN_BYTES = 256


def parse_document(body: bytes) -> dict[str, Any]:
    """The request body as a JSON object. Raises `ServingError`."""
    text = body.decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    if not text:
        raise invalid("JSON Parse error: The document is empty")
    try:
        # Text after the document is accepted, as is the first of duplicate keys.
        document, _ = json.JSONDecoder(object_pairs_hook=_first_wins).raw_decode(text)
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: Invalid value. at offset: {error.pos}") from None
    except RecursionError:
        raise invalid("JSON Parse error: Terminate parsing due to Handler error. at offset: 0") from None
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {shown(document)} Is not object")
    return document


def signature_name(document: dict[str, Any], default: str) -> str:
    """The document's signature name. Raises `ServingError` when it is no string."""
    name = document.get("signature_name", default)
    if not isinstance(name, str):
        text = f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be a string value."
        raise invalid(text)
    return name or default


def read_inputs(
    document: dict[str, Any], infos: Mapping[str, meta_graph_pb2.TensorInfo]
) -> tuple[dict[str, np.ndarray], bool]:
    """The inputs by alias, and whether they came row by row. Raises `ServingError`."""
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist "
        )
    if "instances" in document:
        return _rows(document, infos), True
    if "inputs" in document:
        return _columns(document["inputs"], infos), False
    raise invalid("Missing 'inputs' or 'instances' key")


def write_outputs(outputs: Mapping[str, np.ndarray], rows: bool) -> dict[str, Any]:
    """The response document. Raises `ServingError` for outputs without a common batch size (row form)."""
    values = {alias: _plain(alias, array) for alias, array in outputs.items()}
    if not rows:
        return {"outputs": next(iter(values.values())) if len(values) == 1 else values}
    size: int | None = None
    for alias, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {alias} has no shape information ")
        if size is not None and len(array) != size:
            raise invalid(f"Tensor name: {alias} has inconsistent batch size: {len(array)} expecting: {size}")
        size = len(array)
    if len(values) == 1:
        return {"predictions": next(iter(values.values()))}
    return {"predictions": [{alias: values[alias][row] for alias in values} for row in range(size or 0)]}


def shown(value: Any) -> str:
    """A JSON value in an error text, cut at 256 bytes."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text if len(text) <= _SHOWN_BYTES else text[:_SHOWN_BYTES] + "..."


def _rows(document: dict[str, Any], infos: Mapping[str, meta_graph_pb2.TensorInfo]) -> dict[str, np.ndarray]:
    instances = document["instances"]
    if not isinstance(instances, list):
        raise invalid(f"JSON Value: {shown(document)} Expecting 'instances' to be an list/array")
    if not instances:
        raise invalid(f"JSON Value: {shown(document)} No values in 'instances' array")
    if not isinstance(instances[0], dict) or set(instances[0]) == {"b64"}:
        if len(infos) != 1:
            raise invalid(
                "instances is a plain list, but expecting list of objects as multiple input tensors "
                "required as per tensorinfo_map"
            )
        ((alias, info),) = infos.items()
        for position, item in enumerate(instances):
            if isinstance(item, dict) and set(item) != {"b64"}:
                raise invalid(f"Expecting value/list but got object at item {position} of input list")
        return {alias: _in_element(lambda item: _array(item, info.dtype), instances)}
    columns: dict[str, list[np.ndarray]] = {alias: [] for alias in infos}
    for position, item in enumerate(instances):
        if not isinstance(item, dict):
            raise invalid(f"Expecting object but got list at item {position} of input list")
        for key, value in item.items():
            try:
                if key not in infos:
                    raise invalid(f"JSON object: does not have named input: {key}")
                columns[key].append(_array(value, infos[key].dtype))
            except ServingError as error:
                raise invalid(
                    f"Failed to process element: {position} key: {key} of 'instances' list. Error: {error}"
                ) from None
        if set(item) != set(infos):
            names = ",".join(sorted(infos))
            raise invalid(
                f"Failed to process element: {position} of 'instances' list. Error: INVALID_ARGUMENT: "
                f"JSON object: {shown(item)} keys must be equal to: {names}"
            )
    return {alias: _stack(arrays) for alias, arrays in columns.items()}


def _in_element(convert: Any, items: list[Any]) -> np.ndarray:
    arrays = []
    for position, item in enumerate(items):
        try:
            arrays.append(convert(item))
        except ServingError as error:
            raise invalid(
                f"Failed to process element: {position} of 'instances' list. Error: {error}"
            ) from None
    return _stack(arrays)


def _stack(arrays: list[np.ndarray]) -> np.ndarray:
    for position, array in enumerate(arrays):
        if array.shape != arrays[0].shape:
            want, got = _shape(arrays[0]), _shape(array)
            raise invalid(
                f"Failed to process element: {position} of 'instances' list. Error: INVALID_ARGUMENT: "
                f"Expecting shape {want} but got: {got}"
            )
    return np.stack(arrays)


def _shape(array: np.ndarray) -> str:
    return "[" + ",".join(str(size) for size in array.shape) + "]"


def _columns(inputs: Any, infos: Mapping[str, meta_graph_pb2.TensorInfo]) -> dict[str, np.ndarray]:
    if not isinstance(inputs, dict) or set(inputs) == {"b64"}:
        if len(infos) != 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        ((alias, info),) = infos.items()
        return {alias: _array(inputs, info.dtype)}
    arrays = {}
    for alias, info in infos.items():
        if alias not in inputs:
            raise invalid(f"Missing named input: {alias} in 'inputs' object.")
        arrays[alias] = _array(inputs[alias], info.dtype)
    return arrays


def _array(value: Any, number: int) -> np.ndarray:
    """One dense tensor. Raises `ServingError` for ragged lists and values of the wrong kind."""
    if number not in _DTYPES:
        name = types_pb2.DataType.Name(number)[3:].lower()
        raise ServingError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {shown(value)} to type: {name}")
    shape, leaf = [], value
    while isinstance(leaf, list):
        shape.append(len(leaf))
        leaf = leaf[0] if leaf else None
    flat: list[Any] = []
    _flatten(value, shape, 0, number, flat)
    dtype = _DTYPES[number][1]
    if dtype is object:
        array = np.empty(len(flat), object)
        array[:] = flat
        return array.reshape(shape)
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        for item in flat:
            if dtype in _RANGE_CHECKED and not limits.min <= item <= limits.max:
                raise _wrong_type(item, number)
        # The narrow types wrap silently, as in TensorFlow Serving.
        return (
            np.array([item & 0xFFFF for item in flat] if dtype not in _RANGE_CHECKED else flat)
            .astype(dtype)
            .reshape(shape)
        )
    return np.array(flat, dtype).reshape(shape)


def _flatten(value: Any, shape: list[int], level: int, number: int, flat: list[Any]) -> None:
    if level == len(shape):
        if isinstance(value, list):
            raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
        flat.append(_scalar(value, number))
        return
    if not isinstance(value, list):
        text = f"JSON Value: {shown(value)} found at incorrect level: {level} in the JSON DOM. "
        raise invalid(f"{text}Expected at level: {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        _flatten(item, shape, level + 1, number, flat)


def _scalar(value: Any, number: int) -> Any:
    dtype = _DTYPES[number][1]
    if dtype is object:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, dict) and set(value) == {"b64"}:
            return _unbase64(value)
    elif dtype is np.bool_:
        if isinstance(value, bool):
            return value
    elif isinstance(value, int if np.issubdtype(dtype, np.integer) else int | float) and not isinstance(
        value, bool
    ):
        return value
    raise _wrong_type(value, number)


def _unbase64(value: dict[str, Any]) -> bytes:
    if not isinstance(value["b64"], str):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def _wrong_type(value: Any, number: int) -> ServingError:
    kinds = {bool: str(value), type(None): "Null", list: "Array", dict: "Object", str: "String"}
    kind = kinds.get(type(value), "Number")
    text = f"JSON Value: {shown(value)} Type: {kind} is not of expected type: {_DTYPES[number][0]}"
    return invalid(text)


def _plain(alias: str, array: np.ndarray) -> Any:
    """Nested lists of JSON values; strings are base64 objects when the alias ends in `_bytes`."""
    if array.dtype == object:
        return _strings(array.tolist(), alias.endswith("_bytes"))
    if array.dtype.kind not in "fiub" or array.dtype == np.float16:
        raise invalid(f"Failed to write JSON value for tensor type: {array.dtype}")
    return array.tolist() if array.dtype != np.float32 else _shortest(array)


def _shortest(array: np.ndarray) -> Any:
    """float32 with the digits that tell it from its neighbours, not those of its double."""
    return array.astype("U").astype(np.float64).tolist()


def _strings(value: Any, as_base64: bool) -> Any:
    if isinstance(value, list):
        return [_strings(item, as_base64) for item in value]
    if as_base64:
        return {"b64": base64.b64encode(value).decode()}
    return value.decode("utf-8", errors="replace")


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        document.setdefault(key, value)
    return document
