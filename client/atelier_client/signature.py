"""A served signature. The client checks inputs against it before it sends anything."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import ArrayLike, NDArray

from atelier_client.errors import InputError, ServerFailure
from atelier_client.messages import ragged
from atelier_client.messages.tensors import BFLOAT16, BY_NAME, NAMES, STRING, as_array
from atelier_client.protos import serving_pb2 as pb


@dataclass(frozen=True)
class TensorInfo:
    """Name, dtype and shape of an input or output. In the shape -1 means any size; None means any rank.

    `dtype` is empty when the server does not tell it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] | None

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype or 'any type'} {_shape(self.shape)}"


@dataclass(frozen=True)
class Signature:
    """One signature of a served version. A server of the Open Inference Protocol may leave out inputs and outputs."""

    name: str
    method: str
    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]
    optional: frozenset[str]

    @cached_property
    def splittable(self) -> bool:
        """True when the first dimension of every input is free, so that the inputs may have any number of rows."""
        return bool(self.inputs) and all(info.shape and info.shape[0] == -1 for info in self.inputs.values())

    def joined(self, outputs: tuple[str, ...]) -> TensorInfo | None:
        """The first of `outputs` (of all outputs when empty) that does not have one row for each row of the inputs.

        Such an output is a constant, a scalar or of unknown rank. The client cannot join it when it splits the rows
        into several requests. None when every output can be joined.
        """
        asked = [self.outputs[name] for name in outputs or self.outputs if name in self.outputs]
        return next((info for info in asked if not info.shape or info.shape[0] != -1), None)

    @cached_property
    def of_one_example(self) -> bool:
        """True when an input may be a single example.

        With two free dimensions, [N,N] or [N,N,C], the first may count the rows of the batch or the rows of a picture.
        """
        return any(
            info.shape is not None and len(info.shape) <= 3 and info.shape[:2] == (-1, -1)
            for info in self.inputs.values()
        )

    @cached_property
    def ragged(self) -> dict[str, tuple[str, ...]]:
        """The inputs that look ragged, each with those of its splits (messages/ragged.py)."""
        return ragged.splits_of(self.inputs)

    @cached_property
    def required(self) -> tuple[TensorInfo, ...]:
        """The inputs a caller fills: without optional ones and the splits of ragged ones."""
        left_out = self.optional.union(*self.ragged.values())
        return tuple(info for name, info in self.inputs.items() if name not in left_out)

    def check(self, given: Mapping[str, ArrayLike] | ArrayLike) -> dict[str, NDArray[Any]]:
        """The inputs as arrays of the signature's dtypes. Raises `InputError`.

        A bare array is the only input. Rows of different lengths are a ragged input; its splits are computed from them.
        The client makes safe casts: to a wider type of the same kind, from integers to floats that can represent them,
        from float64 to float32. It refuses a cast that would lose values.
        """
        if not self.inputs:
            return self._unchecked(given)
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
                given = {**given, **ragged.flattened(given[name], splits, name)}
        missing = sorted(set(self.inputs) - set(given) - self.optional)
        if missing:
            raise InputError(
                f"{self.name} lacks the input {', '.join(missing)}. Expected: {self._expected()}."
            )
        arrays = {name: _fitting(self.inputs[name], value) for name, value in given.items()}
        different = self.splittable and len({len(array) for array in arrays.values()}) > 1
        if different and not ragged.parts_rows(arrays):
            rows = ", ".join(f"{name} has {len(array)}" for name, array in arrays.items())
            raise InputError(f"The inputs differ in their number of rows: {rows}.")
        return arrays

    def check_outputs(self, names: tuple[str, ...]) -> None:
        """Raises `InputError` for an output the signature does not have."""
        for name in names if self.outputs else ():
            if name not in self.outputs:
                hint = _near(name, self.outputs)
                raise InputError(
                    f"{self.name} has no output {name!r}.{hint} It has: {', '.join(sorted(self.outputs))}."
                )

    def _unchecked(self, given: Mapping[str, ArrayLike] | ArrayLike) -> dict[str, NDArray[Any]]:
        """Named arrays as they are, for a server that does not tell its inputs."""
        if not isinstance(given, Mapping):
            raise InputError(
                f'The server does not tell the inputs of {self.name}: name them, such as {{"x": array}}.'
            )
        return {name: _untyped(as_array(value)) for name, value in given.items()}

    def _expected(self) -> str:
        return "; ".join(str(info) for info in self.inputs.values())


def from_metadata(metadata: pb.GetModelMetadataResponse) -> dict[str, Signature]:
    """The signatures in a GetModelMetadata response, without the init op, which has no inputs and no outputs."""
    packed = pb.SignatureDefMap()
    # The Any contains the official type. Our own message has the same bytes.
    try:
        packed.ParseFromString(metadata.metadata["signature_def"].value)
    except DecodeError as error:
        raise ServerFailure(f"The server's metadata is no SignatureDefMap: {error}.") from None
    return {
        name: Signature(
            name,
            definition.method_name,
            {alias: _tensor_info(alias, info) for alias, info in sorted(definition.inputs.items())},
            {alias: _tensor_info(alias, info) for alias, info in sorted(definition.outputs.items())},
            frozenset(definition.defaults),
        )
        for name, definition in sorted(packed.signature_def.items())
        if definition.inputs
    }


def choose(signatures: Mapping[str, Signature], name: str) -> Signature:
    """The signature with that name. Raises `InputError`, which suggests the nearest name."""
    if name in signatures:
        return signatures[name]
    hint = _near(name, signatures)
    raise InputError(f"The model has no signature {name!r}.{hint} It has: {', '.join(signatures) or 'none'}.")


def choose_by_method(signatures: Mapping[str, Signature], method: str) -> Signature:
    """The only signature of a method (classify, regress). Raises `InputError` when there is none, or several."""
    names = [name for name, item in signatures.items() if item.method == f"tensorflow/serving/{method}"]
    if len(names) == 1:
        return signatures[names[0]]
    found = f"several ({', '.join(names)}): name one" if names else f"none. It has: {', '.join(signatures)}"
    raise InputError(f"{method} needs a signature made for it; the model has {found}.")


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), list(names), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _tensor_info(alias: str, message: pb.TensorInfo) -> TensorInfo:
    unknown_rank = message.tensor_shape.unknown_rank
    shape = None if unknown_rank else tuple(dim.size for dim in message.tensor_shape.dim)
    return TensorInfo(alias, NAMES.get(message.dtype, f"dtype {message.dtype}"), shape)


def _fitting(info: TensorInfo, value: ArrayLike) -> NDArray[Any]:
    try:
        array = as_array(value)
    except InputError as error:
        raise InputError(f"Input {info.name!r}: {error}") from None
    # `array.dtype != None` is False for float64, because np.dtype(None) is float64.
    wanted = BY_NAME.get(info.dtype)
    if not info.dtype:
        array = _untyped(array)
    elif wanted is None or array.dtype != wanted:
        array = _cast(info, array)
    if info.shape is None or _fits(info.shape, array.shape):
        return array
    hint = _axis_hint(info.shape, array.shape)
    raise InputError(f"Input {info} was expected, but an array of shape {_shape(array.shape)} came.{hint}")


def _untyped(array: NDArray[Any]) -> NDArray[Any]:
    """The array with a dtype that can be sent: NumPy's own strings lose zero bytes at their end."""
    return array.astype(object) if array.dtype.kind in "SU" else array


def _axis_hint(wanted: tuple[int, ...], got: tuple[int, ...]) -> str:
    """The line that adds the one axis an array lacks; empty when none would make it fit."""
    if not wanted or wanted[0] != -1:
        return ""
    if _fits(wanted, (*got, 1)) and len(got) > 0:
        return " An axis of 1 is missing at its end: array[..., None]."
    if _fits(wanted, (1, *got)):
        return " One example still needs a batch dimension: " + ("array[None]." if got else "[value].")
    return ""


def _fits(wanted: tuple[int, ...], got: tuple[int, ...]) -> bool:
    if len(wanted) != len(got):
        return False
    return [size if want == -1 else want for want, size in zip(wanted, got, strict=True)] == list(got)


def _cast(info: TensorInfo, array: NDArray[Any]) -> NDArray[Any]:
    """The array in the input's dtype. Raises `InputError` when a value would change."""
    if info.dtype == NAMES[STRING]:
        if array.dtype.kind in "OSU" or not array.size:
            return array.astype(object)
        raise InputError(f"Input {info} was expected, but {array.dtype} came: send str or bytes.")
    wanted = BY_NAME.get(info.dtype)
    if wanted is None:
        also = " It can read it, not write it." if info.dtype == NAMES[BFLOAT16] else ""
        raise InputError(f"Input {info}: this client cannot send {info.dtype}.{also}")
    if np.can_cast(array.dtype, wanted, "safe") or not array.size:
        return array.astype(wanted)
    if array.dtype == np.float64 and wanted == np.float32:
        return _narrowed(info, array)
    if array.dtype.kind in "iu" and wanted.kind in "iuf" and _holds(wanted, array):
        return array.astype(wanted)
    if array.dtype.kind in "OSU":
        wrong = [item for item in array.ravel().tolist() if not isinstance(item, (int, float))]
        if wrong:
            raise InputError(
                f"Input {info} was expected, but {str(wrong[0])[:60]!r} came, which is no number "
                f"({type(wrong[0]).__name__})."
            )
    raise InputError(
        f"Input {info} was expected, but {array.dtype} came, and a cast could lose values. "
        f"If that is meant: array.astype({info.dtype!r})."
    )


def _narrowed(info: TensorInfo, array: NDArray[Any]) -> NDArray[Any]:
    """Cast float64 to float32. Digits may be lost, as users expect; but no value may become infinite."""
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    lost = np.isinf(narrow) & np.isfinite(array)
    if lost.any():
        raise InputError(f"Input {info}: {array[lost][0]:g} is beyond float32.")
    return narrow


def _holds(wanted: np.dtype[Any], array: NDArray[Any]) -> bool:
    """True when the cast changes no value of this array. So a Python list of small integers fits a uint8 input."""
    if not array.size:
        return True
    least = array.min().item()
    most = array.max().item()
    if wanted.kind == "f":
        # A float can represent every integer up to 2**(mantissa bits + 1).
        whole = 2 ** (int(np.finfo(wanted).nmant) + 1)
        return bool(-whole <= least and most <= whole)
    limits = np.iinfo(wanted)
    return bool(limits.min <= least and most <= limits.max)


def _shape(shape: tuple[int, ...] | None) -> str:
    return (
        "[?]" if shape is None else "[" + ",".join("N" if size == -1 else str(size) for size in shape) + "]"
    )
