"""A served signature, and the check of inputs against it before anything is sent."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import ArrayLike, NDArray

from atelier_client import _ragged
from atelier_client._tensors import BFLOAT16, BY_NAME, NAMES, STRING, as_array
from atelier_client.errors import InputError, ServerFailure
from atelier_client.protos import serving_pb2 as pb


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

    @cached_property
    def splittable(self) -> bool:
        """True when every input's first dimension is free: inputs of any number of rows."""
        return bool(self.inputs) and all(spec.shape and spec.shape[0] == -1 for spec in self.inputs.values())

    def joined(self, outputs: tuple[str, ...]) -> TensorSpec | None:
        """The first of the outputs (none: of all) that has no row for each row of the inputs, so far as is known.

        Answers to parts of the rows cannot be joined to one: a constant, a scalar, an output of unknown rank.
        """
        specs = [self.outputs[name] for name in outputs or self.outputs]
        return next((spec for spec in specs if not spec.shape or spec.shape[0] != -1), None)

    @cached_property
    def of_one_example(self) -> bool:
        """True when an input may be a single example: of two free dimensions, [N,N] or [N,N,C], the first may be rows
        of the batch, or of a picture.
        """
        return any(
            spec.shape is not None and len(spec.shape) <= 3 and spec.shape[:2] == (-1, -1)
            for spec in self.inputs.values()
        )

    @cached_property
    def ragged(self) -> dict[str, tuple[str, ...]]:
        """The inputs that look ragged, each with those of its splits (_ragged.py)."""
        return _ragged.splits_of(self.inputs)

    @cached_property
    def required(self) -> tuple[TensorSpec, ...]:
        """The inputs a caller fills: without optional ones and the splits of ragged ones."""
        left_out = self.optional.union(*self.ragged.values())
        return tuple(spec for name, spec in self.inputs.items() if name not in left_out)

    def check(self, given: Mapping[str, ArrayLike] | ArrayLike) -> dict[str, NDArray[Any]]:
        """The inputs as arrays of the signature's dtypes. Raises `InputError`.

        A bare array is taken for the only input. Rows of different lengths are taken for a ragged one, whose splits are
        made of them. Safe casts are made (to a wider type of the same kind, integers to
        floats that hold them, float64 to float32); one that would lose values is refused.
        """
        if not isinstance(given, Mapping) and self.ragged and len(self.required) == 1:
            given = {self.required[0].name: given}
        if not isinstance(given, Mapping):
            if len(self.inputs) != 1:
                raise InputError(
                    f"{self.name} has {len(self.inputs)} inputs; name them. Expected: {self._expected()}."
                )
            name = next(iter(self.inputs))
            return {name: _fitting(self.inputs[name], given)}
        for name in given:
            if name not in self.inputs:
                raise InputError(
                    f"{self.name} has no input {name!r}.{_near(name, self.inputs)} Expected: {self._expected()}."
                )
        for name, splits in self.ragged.items():
            if name in given and not any(part in given for part in splits):
                given = {**given, **_ragged.flattened(given[name], splits, name)}
        missing = sorted(set(self.inputs) - set(given) - self.optional)
        if missing:
            raise InputError(
                f"{self.name} lacks the input {', '.join(missing)}. Expected: {self._expected()}."
            )
        arrays = {name: _fitting(self.inputs[name], value) for name, value in given.items()}
        different = self.splittable and len({len(array) for array in arrays.values()}) > 1
        if different and not _ragged.parts_rows(arrays):
            rows = ", ".join(f"{name} has {len(array)}" for name, array in arrays.items())
            raise InputError(f"The inputs differ in their number of rows: {rows}.")
        return arrays

    def check_outputs(self, names: tuple[str, ...]) -> None:
        """Raises `InputError` for an output the signature does not have."""
        for name in names:
            if name not in self.outputs:
                hint = _near(name, self.outputs)
                raise InputError(
                    f"{self.name} has no output {name!r}.{hint} It has: {', '.join(sorted(self.outputs))}."
                )

    def _expected(self) -> str:
        return "; ".join(str(spec) for spec in self.inputs.values())


def from_metadata(metadata: pb.GetModelMetadataResponse) -> dict[str, Signature]:
    """The signatures of a GetModelMetadata answer; the init op, which takes and gives nothing, is left out."""
    packed = pb.SignatureDefMap()
    # The Any names the official type; its bytes are those of our own message.
    try:
        packed.ParseFromString(metadata.metadata["signature_def"].value)
    except DecodeError as error:
        raise ServerFailure(f"The server's metadata is no SignatureDefMap: {error}.") from None
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
    """The signature of that name. Raises `InputError` with the nearest one."""
    if name in signatures:
        return signatures[name]
    hint = _near(name, signatures)
    raise InputError(f"The model has no signature {name!r}.{hint} It has: {', '.join(signatures) or 'none'}.")


def choose_by_method(signatures: Mapping[str, Signature], method: str) -> Signature:
    """The only signature of a method (classify, regress). Raises `InputError` for none or several."""
    names = [name for name, item in signatures.items() if item.method == f"tensorflow/serving/{method}"]
    if len(names) == 1:
        return signatures[names[0]]
    found = f"several ({', '.join(names)}): name one" if names else f"none. It has: {', '.join(signatures)}"
    raise InputError(f"{method} needs a signature made for it; the model has {found}.")


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _spec(alias: str, info: pb.TensorInfo) -> TensorSpec:
    shape = None if info.tensor_shape.unknown_rank else tuple(dim.size for dim in info.tensor_shape.dim)
    return TensorSpec(alias, NAMES.get(info.dtype, f"dtype {info.dtype}"), shape)


def _fitting(spec: TensorSpec, value: ArrayLike) -> NDArray[Any]:
    try:
        array = as_array(value)
    except InputError as error:
        raise InputError(f"Input {spec.name!r}: {error}") from None
    # A dtype equals None when it is float64: np.dtype(None).
    wanted = BY_NAME.get(spec.dtype)
    if wanted is None or array.dtype != wanted:
        array = _cast(spec, array)
    if spec.shape is None or _fits(spec.shape, array.shape):
        return array
    hint = ""
    if array.ndim == len(spec.shape) - 1 and spec.shape[0] == -1:
        hint = " One example still needs a batch dimension: " + ("array[None]." if array.ndim else "[value].")
    raise InputError(f"Input {spec} was expected, but an array of shape {_shape(array.shape)} came.{hint}")


def _fits(wanted: tuple[int, ...], got: tuple[int, ...]) -> bool:
    if len(wanted) != len(got):
        return False
    return [size if want == -1 else want for want, size in zip(wanted, got, strict=True)] == list(got)


def _cast(spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
    """The array in the input's dtype. Raises `InputError` when a value would change."""
    if spec.dtype == NAMES[STRING]:
        if array.dtype.kind in "OSU" or not array.size:
            return array.astype(object)
        raise InputError(f"Input {spec} was expected, but {array.dtype} came: send str or bytes.")
    wanted = BY_NAME.get(spec.dtype)
    if wanted is None:
        also = " It can read it, not write it." if spec.dtype == NAMES[BFLOAT16] else ""
        raise InputError(f"Input {spec}: this client cannot send {spec.dtype}.{also}")
    if np.can_cast(array.dtype, wanted, "safe") or not array.size:
        return array.astype(wanted)
    if array.dtype == np.float64 and wanted == np.float32:
        return _narrowed(spec, array)
    if array.dtype.kind in "iu" and wanted.kind in "iuf" and _holds(wanted, array):
        return array.astype(wanted)
    raise InputError(
        f"Input {spec} was expected, but {array.dtype} came, and a cast could lose values. "
        f"If that is meant: array.astype({spec.dtype!r})."
    )


def _narrowed(spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
    """float64 to float32: digits that float32 does not have go, as expected; a value may not become infinite."""
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    lost = np.isinf(narrow) & np.isfinite(array)
    if lost.any():
        raise InputError(f"Input {spec}: {array[lost][0]:g} is beyond float32.")
    return narrow


def _holds(wanted: np.dtype[Any], array: NDArray[Any]) -> bool:
    """True when every value present survives the cast (so a Python list of small ints fits a uint8 input)."""
    if not array.size:
        return True
    least, most = array.min().item(), array.max().item()
    if wanted.kind == "f":
        # Every integer up to 2**(mantissa bits + 1) has a float of its own.
        whole = 2 ** (int(np.finfo(wanted).nmant) + 1)
        return bool(-whole <= least and most <= whole)
    limits = np.iinfo(wanted)
    return bool(limits.min <= least and most <= limits.max)


def _shape(shape: tuple[int, ...] | None) -> str:
    return (
        "[?]" if shape is None else "[" + ",".join("N" if size == -1 else str(size) for size in shape) + "]"
    )
