"""A served signature, and the check of inputs against it before anything is sent."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atelier_client.errors import InputError, InvalidRequest
from atelier_client.protos import serving_pb2 as pb
from atelier_client.tensors import DTYPES, NAMES, STRING


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype and shape of an input or output; -1 in the shape is any size, None any rank."""

    name: str
    dtype: str
    shape: tuple[int, ...] | None

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} {_shape(self.shape)}"


@dataclass(frozen=True)
class Signature:
    """One signature of a served version."""

    name: str
    method: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    optional: frozenset[str]

    def splittable(self) -> bool:
        """True when every input's first dimension is free, so that rows may travel in several requests."""
        return bool(self.inputs) and all(spec.shape and spec.shape[0] == -1 for spec in self.inputs.values())

    def check(self, given: Mapping[str, ArrayLike] | ArrayLike) -> dict[str, NDArray[Any]]:
        """The inputs as arrays of the signature's dtypes. Raises `InputError`.

        A bare array is taken for the only input. Safe casts are made (to a wider type of the same kind, integers to
        floats that hold them, float64 to float32); one that would lose values is refused.
        """
        if not isinstance(given, Mapping):
            if len(self.inputs) != 1:
                raise InputError(
                    f"{self.name} has {len(self.inputs)} inputs; name them. Expected: {self._expected()}."
                )
            given = {next(iter(self.inputs)): given}
        for name in given:
            if name not in self.inputs:
                near = difflib.get_close_matches(name, self.inputs, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise InputError(f"{self.name} has no input {name!r}.{hint} Expected: {self._expected()}.")
        missing = sorted(set(self.inputs) - set(given) - self.optional)
        if missing:
            raise InputError(
                f"{self.name} lacks the input {', '.join(missing)}. Expected: {self._expected()}."
            )
        arrays = {name: _fitting(self.inputs[name], value) for name, value in given.items()}
        if self.splittable() and len({len(array) for array in arrays.values()}) > 1:
            rows = ", ".join(f"{name} has {len(array)}" for name, array in arrays.items())
            raise InputError(f"The inputs differ in their number of rows: {rows}.")
        return arrays

    def check_outputs(self, names: tuple[str, ...]) -> None:
        """Raises `InputError` for an output the signature does not have."""
        for name in names:
            if name not in self.outputs:
                near = difflib.get_close_matches(name, self.outputs, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise InputError(
                    f"{self.name} has no output {name!r}.{hint} It has: {', '.join(sorted(self.outputs))}."
                )

    def _expected(self) -> str:
        return "; ".join(str(spec) for spec in self.inputs.values())


def from_metadata(metadata: pb.GetModelMetadataResponse) -> dict[str, Signature]:
    """The signatures of a GetModelMetadata answer; the init op, which takes and gives nothing, is left out."""
    packed = pb.SignatureDefMap()
    # The Any names the official type; its bytes are those of our own message.
    packed.ParseFromString(metadata.metadata["signature_def"].value)
    return {
        name: Signature(
            name,
            definition.method_name,
            {alias: _spec(alias, info) for alias, info in sorted(definition.inputs.items())},
            {alias: _spec(alias, info) for alias, info in sorted(definition.outputs.items())},
            frozenset(definition.defaults),
        )
        for name, definition in sorted(packed.signature_def.items())
        if definition.inputs
    }


def choose(signatures: Mapping[str, Signature], name: str) -> Signature:
    """The signature of that name. Raises `InvalidRequest` with the nearest one."""
    if name in signatures:
        return signatures[name]
    near = difflib.get_close_matches(name, signatures, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InvalidRequest(
        f"The model has no signature {name!r}.{hint} It has: {', '.join(signatures) or 'none'}."
    )


def _spec(alias: str, info: pb.TensorInfo) -> TensorSpec:
    shape = None if info.tensor_shape.unknown_rank else tuple(dim.size for dim in info.tensor_shape.dim)
    return TensorSpec(alias, NAMES.get(info.dtype, f"dtype {info.dtype}"), shape)


def _fitting(spec: TensorSpec, value: ArrayLike) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"Input {spec.name!r} is not a rectangular array: {error}.") from None
    array = _cast(spec, array)
    shape = spec.shape
    if shape is None:
        return array
    fits = array.ndim == len(shape) and all(
        want in (-1, got) for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits:
        hint = ""
        if array.ndim == len(shape) - 1 and shape[0] == -1:
            hint = " One example still needs a batch dimension: array[None]."
        raise InputError(
            f"Input {spec} was expected, but an array of shape {_shape(array.shape)} came.{hint}"
        )
    return array


def _cast(spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
    if spec.dtype == NAMES[STRING]:
        if array.dtype.kind in "OSU":
            return array
        raise InputError(f"Input {spec} was expected, but {array.dtype} came: send str or bytes.")
    wanted = next((dtype for number, dtype in DTYPES.items() if NAMES[number] == spec.dtype), None)
    if wanted is None:
        raise InputError(f"Input {spec}: this client cannot send {spec.dtype}.")
    if array.dtype == wanted:
        return array
    if np.can_cast(array.dtype, wanted, "safe") or (array.dtype == np.float64 and wanted == np.float32):
        return array.astype(wanted)
    if array.dtype.kind in "iu" and wanted.kind in "iuf" and _holds(wanted, array):
        return array.astype(wanted)
    raise InputError(
        f"Input {spec} was expected, but {array.dtype} came, and a cast could lose values. "
        f"If that is meant: array.astype({spec.dtype!r})."
    )


def _holds(wanted: np.dtype[Any], array: NDArray[Any]) -> bool:
    """True when every value present survives the cast (so a Python list of small ints fits a uint8 input)."""
    return not array.size or bool(
        (array.astype(wanted).astype(array.dtype) == array).all() and _in_range(wanted, array)
    )


def _in_range(wanted: np.dtype[Any], array: NDArray[Any]) -> bool:
    if wanted.kind == "f":
        return True
    limits = np.iinfo(wanted)
    return int(array.min()) >= limits.min and int(array.max()) <= limits.max


def _shape(shape: tuple[int, ...] | None) -> str:
    return (
        "[?]" if shape is None else "[" + ",".join("N" if size == -1 else str(size) for size in shape) + "]"
    )
