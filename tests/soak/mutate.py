"""Mutations of valid requests: bytes flipped, cut, doubled, spliced; and fields or JSON values exchanged."""

import random
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

INTERESTING = (
    b"\0",
    b"\xff",
    b"\x80",
    b"\xff" * 9 + b"\x01",
    b"[" * 50,
    b"{",
    b'"',
    b"\\u",
    b"1e999",
    b"-",
    b"NaN",
)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 2**31, 2**63, 2**64, 10**400, 1e308, float("nan"), float("inf"), "", "x", "\ud800"),
    *([], {}, [[]], [1, [2]], {"b64": "YQ=="}, {"b64": 1}, {"b64": "?"}, [None], ["a", 1], [[1], [2, 3]]),
)  # fmt: skip


def mutate_bytes(random: random.Random, seed: bytes, others: list[bytes]) -> bytes:
    """One to four changes of a message."""
    data = bytearray(seed)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data) + 1)
        end = min(len(data), at + random.choice((1, 1, 2, 4, 8, 64)))
        kind = random.randrange(7)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            del data[at:end]
        elif kind == 2:
            data[at:at] = data[at:end]
        elif kind == 3:
            data[at:at] = random.choice(INTERESTING)
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            other = random.choice(others)
            data[at:] = other[random.randrange(len(other) + 1) :]
        else:
            data[at:end] = random.randbytes(end - at)
    return bytes(data)


def mutate_json(random: random.Random, document: Any) -> Any:
    """A copy of the document with one value or key exchanged somewhere."""
    if isinstance(document, dict) and document and random.random() < 0.8:
        key = random.choice(list(document))
        changed = {name: value for name, value in document.items() if name != key}
        if random.random() < 0.1:
            return changed
        name = random.choice(["instances", "inputs", "examples", "x", ""]) if random.random() < 0.1 else key
        return changed | {name: mutate_json(random, document[key])}
    if isinstance(document, list) and document and random.random() < 0.7:
        at = random.randrange(len(document))
        return [*document[:at], mutate_json(random, document[at]), *document[at + 1 :]]
    return random.choice(VALUES)


_INTEGERS = (0, 1, 2, 3, 7, 20, 100, 2**31 - 1)
_LARGER = (*_INTEGERS, 2**63 - 1)
_SIGNED = (*_INTEGERS, -1, -(2**31))
_NAMES = ("", "x", "toy", "classify", "regress", "type_int8", "serving_default", "\0", "\u00e4", "n" * 3000)


def mutate_message(random: random.Random, message: Message) -> None:
    """Exchange, clear or add something in one field, somewhere in the message."""
    if not message.DESCRIPTOR.fields:
        return
    fields: Sequence[Any] = message.DESCRIPTOR.fields
    field = random.choice(fields)
    value = getattr(message, field.name)
    if random.random() < 0.1:
        message.ClearField(field.name)
    elif field.message_type and field.message_type.GetOptions().map_entry:
        _mutate_map(random, value, field.message_type.fields_by_name["value"])
    elif field.is_repeated and field.message_type:
        mutate_message(random, random.choice(value) if value and random.random() < 0.8 else value.add())
    elif field.is_repeated:
        if value and random.random() < 0.3:
            del value[random.randrange(len(value)) :]
        else:
            value.extend([_scalar(random, field)] * random.choice((1, 1, 2, 300)))
    elif field.message_type:
        # An absent part is seldom made: what is there is nearer to valid.
        if message.HasField(field.name) or random.random() < 0.2:
            value.SetInParent()
            mutate_message(random, value)
    else:
        setattr(message, field.name, _scalar(random, field))


def _mutate_map(random: random.Random, entries: Any, field: FieldDescriptor) -> None:
    key = random.choice(sorted(entries)) if len(entries) and random.random() < 0.8 else random.choice(_NAMES)
    if random.random() < 0.1:
        entries.pop(key, None)
    elif field.message_type:
        mutate_message(random, entries[key])
    else:
        entries[key] = _scalar(random, field)


def _scalar(random: random.Random, field: FieldDescriptor) -> Any:
    kinds = FieldDescriptor
    if field.type == kinds.TYPE_BYTES:
        return random.randbytes(random.choice((0, 1, 8, 9)))
    if field.cpp_type == kinds.CPPTYPE_STRING:
        return random.choice(_NAMES)
    if field.cpp_type in (kinds.CPPTYPE_FLOAT, kinds.CPPTYPE_DOUBLE):
        return random.choice((0.0, -1.5, 1e38, float("nan"), float("inf")))
    if field.cpp_type == kinds.CPPTYPE_BOOL:
        return random.random() < 0.5
    if field.cpp_type in (kinds.CPPTYPE_INT32, kinds.CPPTYPE_ENUM):
        return random.choice(_SIGNED)
    return random.choice(_LARGER if field.cpp_type != kinds.CPPTYPE_UINT32 else _INTEGERS)
