"""Pictures with their labels: a TFRecord file of tf.Example, as the readers of trainer and client take it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from atelier_client.data.label_rule import key_of
from atelier_client.data.tfrecord import end_of_records, framed
from atelier_client.messages.tf_example import to_examples
from numpy.typing import NDArray

from atelier_console.feedback.appended import append
from atelier_console.problems import Problem
from atelier_console.texts import say


def append_picture(path: Path, pixels: NDArray[Any], number: int, class_names: Sequence[str]) -> None:
    """Add `images` (int64, the pixels row by row) and `label` (int64).

    Raises `DataError` for a file of another kind.
    """
    row = {"images": pixels.astype("int64").reshape(-1), "label": label_number(number, class_names)}
    [example] = to_examples([row])
    record = framed(example.SerializeToString())
    append(path, lambda file: (end_of_records(file) if file else 0, record))


def label_number(number: int, class_names: Sequence[str]) -> int:
    """The integer that stands for a class: its number, or where classes are called by numbers, its name
    (docs/contracts.md, section 2, labels).
    """
    keys = [key_of(name) for name in class_names]
    if not any(isinstance(key, Decimal) for key in keys):
        return number
    key = keys[number]
    if not isinstance(key, Decimal) or key != key.to_integral_value():
        raise Problem(say("no_integer", name=class_names[number]))
    return int(key)
