"""Tensors as raw bytes: little endian, row by row; a string is its length in 4 bytes, little endian, and its bytes.

Sources: `raw_input_contents` of the Open Inference Protocol, and Triton's extension_binary_data.md, which use one form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from atelier_serving.oip.datatypes import Datatype
from atelier_serving.oip.shape import element_count
from atelier_serving.status import invalid
from atelier_serving.tensors import claim_strings

Content = bytes | memoryview
_LENGTH = 4
# Strings are written so many at a time: meanwhile no other thread runs.
_STEP = 1 << 14


def from_raw(
    name: str,
    datatype: Datatype,
    shape: tuple[int, ...],
    content: Content,
    claim: Callable[[int], object] | None,
) -> np.ndarray:
    """The input `name` from its bytes; numbers are not copied, the array is a view. Raises `ServingError`.

    `claim` is called with the bytes that many strings take beyond their own; it may raise.
    """
    count = element_count(name, datatype, shape)
    if datatype.is_bytes:
        return _strings(name, content, count, claim).reshape(shape)
    dtype = datatype.dtype
    if len(content) != count * dtype.itemsize:
        raise invalid(
            f'Input "{name}": {len(content)} bytes came, and {list(shape)} of {datatype.name} are '
            f"{count * dtype.itemsize}."
        )
    if dtype.kind == "b" and bytes(content).strip(b"\0\1"):
        raise invalid(f'Input "{name}": a byte of BOOL is 0 or 1.')
    return np.frombuffer(content, dtype).reshape(shape)


def pieces_of(array: np.ndarray) -> Iterator[bytes | memoryview]:
    """The bytes of an output, in pieces."""
    if array.dtype != object:
        # numpy gives away no memory of the types that it does not know itself.
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        return
    flat = array.reshape(-1)
    for start in range(0, len(flat), _STEP):
        items = flat[start : start + _STEP].tolist()
        yield b"".join([part for item in items for part in (len(item).to_bytes(_LENGTH, "little"), item)])


def to_raw(array: np.ndarray) -> bytes:
    """The bytes of an output."""
    return b"".join(pieces_of(array)) if array.dtype == object else array.tobytes()


def raw_size(array: np.ndarray) -> int:
    """How many bytes they are."""
    return array.nbytes if array.dtype != object else sum(map(len, array.flat)) + _LENGTH * array.size


def _strings(name: str, content: Content, count: int, claim: Callable[[int], object] | None) -> np.ndarray:
    size = len(content)
    # This is checked first, before the array is made.
    if count * _LENGTH > size:
        raise invalid(
            f'Input "{name}": {size} bytes are too few for {count} strings, each with its length in 4 bytes before it.'
        )
    claim_strings(claim, count)
    array = np.empty(count, object)
    position = 0
    for index in range(count):
        start = position + _LENGTH
        position = start + int.from_bytes(content[start - _LENGTH : start], "little")
        # A length that was cut short is found here, too.
        if start > size or position > size:
            raise invalid(
                f'Input "{name}": string {index} of {count} reaches beyond the {size} bytes that came.'
            )
        array[index] = bytes(content[start:position])
    if position != size:
        raise invalid(f'Input "{name}": {size - position} bytes are left over after {count} strings.')
    return array
