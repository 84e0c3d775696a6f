"""Labels as class numbers: one rule for trainer and client (docs/contracts.md, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client._layout import LabelKind
from atelier_client.data.label_rule import Key, key_of, keys_of, known
from atelier_client.errors import DataError

# A folder's name cannot contain a slash; it may have one of these instead.
_SLASHES = ("_", "-", " ", "")


class Labels:
    """The labels of one source. Its first rows decide whether it holds class names or class numbers."""

    def __init__(
        self,
        names: Sequence[str] | None,
        classes: int,
        label_kind: LabelKind | None = None,
        *,
        folders: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`names`: the classes, None when they are not known. `label_kind`: what the source says that it holds.

        `folders`: labels are names of folders. `say` hears what is guessed. Raises `DataError` for a name that is
        there twice.
        """
        self._names = names
        self._classes = classes
        self._say = say
        self._known = known(names or ())
        self._numbered = any(isinstance(key, Decimal) for key in self._known)
        if folders:
            self._known = _of_folders(names or ()) | self._known
        self._label_kind: LabelKind | None = "numbers" if names is None else label_kind
        if self._label_kind == "integers":
            self._label_kind = "names" if self._numbered else "numbers"
        if self._label_kind is None and self._numbered:
            self._label_kind = "names"

    def numbers(self, cells: NDArray[Any], place: Callable[[int], str]) -> NDArray[np.int64]:
        """Class numbers int64 [N] of label cells [N]; `place` names a row. Raises `DataError`."""
        if cells.dtype.kind not in "biufOSU":
            raise DataError(f"{place(0)}: expected labels that are texts or numbers, got {cells.dtype}.")
        keys = keys_of(cells)
        if self._label_kind is None:
            self._label_kind = self._guessed(keys)
        if self._label_kind == "numbers":
            found = [self._as_number(key) for key in keys]
        else:
            found = [self._known.get(key, -1) for key in keys]
        labels = np.array(found, np.int64)
        if (labels < 0).any():
            row = int(np.argmax(labels < 0))
            raise DataError(
                f"{place(row)}: the label {_shown(cells[row])} is out of range: expected {self._expected()}. "
                "If that should fit, the data set and the model do not belong together."
            )
        return labels

    def _guessed(self, keys: Sequence[Key]) -> LabelKind | None:
        """Names or numbers, when no class name is a number: the first label decides, the others must agree."""
        if not keys:
            return None
        if keys[0] in self._known or self._as_number(keys[0]) < 0:
            return "names"
        self._say(
            f"Labels are taken for class numbers, from 0 ({(self._names or ('',))[0]}) to {self._classes - 1}: "
            "they are whole numbers, and no class is called by a number."
        )
        return "numbers"

    def _as_number(self, key: Key) -> int:
        if isinstance(key, Decimal) and key == key.to_integral_value() and 0 <= key < self._classes:
            return int(key)
        return -1

    def _expected(self) -> str:
        number = f"a number from 0 to {self._classes - 1}"
        if self._names is None:
            return number
        shown = ", ".join(self._names[:12])
        some = shown + (f", .. ({len(self._names)} in all)" if len(self._names) > 12 else "")
        if self._label_kind == "numbers":
            return f"one of {some} in every row, or in every row, as in those before, {number}"
        return f"one of {some}" + ("" if self._numbered else f", or in every row {number}")


def _of_folders(names: Sequence[str]) -> dict[Key, int]:
    return {
        key_of(name.replace("/", sign)): number
        for sign in _SLASHES
        for number, name in enumerate(names)
        if "/" in name
    }


def _shown(cell: Any) -> str:
    if isinstance(cell, (str, bytes)):
        return repr(cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell))
    return str(cell)
