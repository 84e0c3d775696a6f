"""Checks what a caller of the library gives. Other types would fail somewhere inside, with Python's errors."""

from __future__ import annotations

import math
import reprlib
from typing import Any, TypeGuard

import numpy as np

from atelier_client.errors import InputError, SettingsError


def is_text(value: object) -> TypeGuard[str]:
    """True for a str that UTF-8 can write (it cannot write half of a surrogate pair), and that is not empty."""
    if not isinstance(value, str) or not value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_whole(value: object) -> TypeGuard[int]:
    """True for a whole number of Python or NumPy; a truth value is none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_amount(value: object) -> TypeGuard[float]:
    """True for a finite number, 0 or more."""
    return (is_whole(value) or isinstance(value, (float, np.floating))) and bool(0 <= value < math.inf)


def is_version(value: object) -> TypeGuard[int]:
    """True for a number that a version can have: an int64 from 0."""
    return is_whole(value) and 0 <= int(value) < 2**63


def check_asked(version: object, label: object, rows_per_request: object = None) -> None:
    """Check the arguments that name a version, a label and a number of rows. Raises `InputError`."""
    if version is not None and not is_version(version):
        raise InputError(f"A version is a whole number from 0, not {shown(version)}.")
    if label is not None:
        check_label(label)
    if rows_per_request is not None and not is_whole(rows_per_request):
        raise InputError(f"rows_per_request is a whole number, not {shown(rows_per_request)}.")


def check_label(label: object) -> None:
    """Raises `InputError` for what cannot be a version's label."""
    if not is_text(label):
        raise InputError(f"A label is a text, not {shown(label)}.")


def check_signature(signature: object) -> None:
    """Raises `InputError` for what cannot be a signature's name."""
    if not is_text(signature):
        raise InputError(f"A signature's name is a text, not {shown(signature)}.")


def output_names(outputs: Any) -> tuple[str, ...]:
    """The names of the outputs to answer, of one name or several. Raises `InputError`."""
    names = (outputs,) if isinstance(outputs, str) else outputs
    if not isinstance(names, (list, tuple, set, frozenset)) or not all(is_text(name) for name in names):
        raise InputError(f"outputs are names, such as ['scores'], not {shown(outputs)}.")
    return tuple(names)


def check_token(token: object) -> None:
    """Raises `SettingsError`, which does not show the token, for one that no header can carry."""
    if not isinstance(token, str):
        raise SettingsError(
            f"The token is a text, or a function that returns one, not {type(token).__name__}."
        )
    if not token or not token.isascii() or not token.isprintable() or token != token.strip():
        raise SettingsError(
            "The token is empty, or has a space or line end at an end of it, or a character that no header can carry: "
            "expected printable ASCII (token.strip() removes a file's line end)."
        )


def shown(value: object) -> str:
    """The value in a few words, for a message."""
    return reprlib.repr(value)
