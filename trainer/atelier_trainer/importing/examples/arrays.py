"""An .npz of somebody's: an array for each input, and one of labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from atelier_trainer.data.dataset import file_digest
from atelier_trainer.errors import ImportRefused
from atelier_trainer.files import UNREADABLE_NPZ
from atelier_trainer.importing.examples import columns
from atelier_trainer.importing.examples.given import Given
from atelier_trainer.printable import say
from atelier_trainer.publishing.model_signature import Signature, Tensor

# Usual names of an array of all inputs: Keras's, and the trainer's own.
_INPUT_ARRAYS = ("x_test", "x", "images", "inputs", "features")
_TRAINING = ("x_train", "y_train")


def read(path: Path, signature: Signature, label_column: str | None) -> Given:
    """The examples of an .npz; `x_train` and `y_train` are left alone. Raises `ImportRefused`."""
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name not in _TRAINING}
    except UNREADABLE_NPZ as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ImportRefused(
            f"{path} is no readable .npz of arrays without pickled objects: {reason}."
        ) from None
    label = columns.named_label(path, list(arrays), signature, label_column)
    chosen = _chosen(path, list(arrays), signature, label)
    wanted = [*chosen.values(), *([label] if label else [])]
    lengths = {name: len(arrays[name]) if arrays[name].ndim else 0 for name in wanted}
    if len(set(lengths.values())) != 1 or not all(lengths.values()):
        told = ", ".join(f"{name} has {count}" for name, count in lengths.items())
        raise ImportRefused(f"{path}: expected arrays with equally many rows, and not none; {told}.")
    inputs = {
        name: fitted(f"{path}, array {column}", arrays[column], name, signature.inputs[name])
        for name, column in chosen.items()
    }
    labels = arrays[label] if label else None
    if labels is not None and labels.dtype.kind in "SUO":
        labels = np.array([_text(cell) for cell in labels.ravel()], object).reshape(labels.shape)
    place = f"{path}, array {label}" if label else str(path)
    card: dict[str, object] = {
        "kind": None,
        "shape": [],
        "columns": [],
        **({"label": label} if label else {}),
    }
    return Given(inputs, labels, file_digest(path), place, card)


def fitted(place: str, array: np.ndarray, name: str, tensor: Tensor) -> np.ndarray:
    """The array in the input's dtype and shape, no value changed. Raises `ImportRefused`."""
    shown = columns.described(name, tensor)
    if tensor.is_text != (array.dtype.kind in "SUO") or array.dtype.kind not in "biufSUO":
        raise ImportRefused(f"{place}: the input {shown} does not take {array.dtype}.")
    if tensor.is_text:
        array = np.array([_text(cell).encode() for cell in array.ravel()], object).reshape(array.shape)
    row = list(array.shape[1:])
    if tensor.shape is not None and not _fits(row, tensor):
        with_ones = [size for size in tensor.row if size != 1]
        without = [size for size in row if size != 1]
        if without != with_ones or None in tensor.row:
            raise ImportRefused(
                f"{place}: a row has the shape {row}, and the input {shown} takes {list(tensor.row)}."
            )
        array = array.reshape(len(array), *(size or 1 for size in tensor.row))
    if tensor.is_text:
        return array
    # NaN is a missing value where an input is one number a row, as an empty cell of a CSV is.
    if tensor.is_float and columns.width(tensor) != 1 and not np.isfinite(array).all():
        at = tuple(int(item) for item in np.argwhere(~np.isfinite(array))[0])
        raise ImportRefused(
            f"{place}, row {at[0] + 1}: expected finite numbers for the input {shown}, got {array[at]}."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        found = array.astype(tensor.dtype)
    same = np.isfinite(found) | ~np.isfinite(array) if tensor.is_float else found == array
    if not same.all():
        at = tuple(int(item) for item in np.argwhere(~same)[0])
        raise ImportRefused(
            f"{place}, row {at[0] + 1}: the input {shown} does not take the value {array[at]}."
        )
    return found


def _chosen(path: Path, names: list[str], signature: Signature, label: str | None) -> Mapping[str, str]:
    """The array of each input."""
    if all(name in names for name in signature.inputs):
        return {name: name for name in signature.inputs}
    if len(signature.inputs) > 1:
        raise columns.missing(path, names, signature)
    (only,) = signature.inputs
    free = [name for name in names if name != label]
    usual = [name for name in free if name.lower() in _INPUT_ARRAYS]
    found = usual if len(usual) == 1 else free
    if len(found) != 1:
        raise columns.missing(path, names, signature)
    if found[0] not in _INPUT_ARRAYS:
        say(f"{path}: the input {only} is taken from the array {found[0]!r}, the only one that is no label.")
    return {only: found[0]}


def _fits(row: list[int], tensor: Tensor) -> bool:
    return len(row) == len(tensor.row) and all(
        want in (None, size) for size, want in zip(row, tensor.row, strict=True)
    )


def _text(cell: object) -> str:
    return cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)
