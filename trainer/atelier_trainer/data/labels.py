"""Labels and classes, by the rule that trainer and client share (docs/contracts.md, section 2)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd

from atelier_trainer.data.csv_cells import is_like_missing
from atelier_trainer.errors import DataInvalid
from atelier_trainer.label_key import key, number_of

_SHOWN = 12
# Labels are taken for a quantity instead of classes when they have decimals and more different values than
# _MOST_DECIMALS, or when more than _MANY_CLASSES different labels have fewer than _FEWEST_EXAMPLES examples each.
_MOST_DECIMALS = 20
_MANY_CLASSES = 20
_FEWEST_EXAMPLES = 5
# So do a few with a fraction, when most of them stand for one example only.
_FEW_DECIMALS = 5


def classes_of(cells: Iterable[str], path: Path, column: str = "label") -> tuple[str, ...]:
    """The distinct labels: numbers by value, then names by text. Raises `DataInvalid` for fewer than two.

    A number that is spelled in several ways is one class, named by the shortest spelling. Labels that look like a
    quantity are refused.
    """
    counts = pd.Series(cells if isinstance(cells, np.ndarray) else list(cells), dtype=object).value_counts()
    spellings: dict[Decimal | str, str] = {}
    for cell in sorted(counts.index, key=lambda text: (len(text), text)):
        if cell.lower() in ("nan", "nat"):
            raise DataInvalid(
                f"{path}, column {column}: the label {cell!r} is a missing value; remove these rows, or name "
                "it in data.class_names when it is a class."
            )
        spellings.setdefault(key(cell), cell)
    _refuse_measurements(list(spellings), int(counts.sum()), path, column)
    if len(spellings) < 2:
        raise DataInvalid(f"{path}: expected labels of two classes or more, got {_only(spellings.values())}.")
    return tuple(
        spellings[found]
        for found in sorted(
            spellings,
            key=lambda found: (
                isinstance(found, str),
                found if isinstance(found, Decimal) else 0,
                str(found),
            ),
        )
    )


def class_ids(
    cells: Sequence[str] | np.ndarray, names: Sequence[str], path: Path, column: str, first_row: int = 1
) -> np.ndarray:
    """Class numbers int64 [N] of a file's label cells. Raises `DataInvalid` with the row."""
    codes, distinct = pd.factorize(np.asarray(cells, dtype=object))
    rows = np.full(len(distinct), len(codes))
    np.minimum.at(rows, codes, np.arange(len(codes)))
    return ids_of_distinct(list(distinct), (rows + first_row).tolist(), names, path, column)[codes]


def ids_of_distinct(
    labels: Sequence[str], rows: Sequence[int], names: Sequence[str], path: Path, column: str
) -> np.ndarray:
    """Class numbers int64 of all the distinct labels of a file; `rows` are where each occurs first.

    Names count; class numbers count where no name is a number and all of the file's labels are class numbers.
    Raises `DataInvalid` with the first row that has another label.
    """
    known: dict[Decimal | str, int] = {key(name): number for number, name in enumerate(names)}
    numbered = not any(isinstance(name, Decimal) for name in known)
    ids = [known.get(key(label)) for label in labels]
    by_number = [_class_number(label, len(names)) if numbered else None for label in labels]
    unnamed = [index for index, item in enumerate(ids) if item is None]
    if unnamed and len(unnamed) == len(labels) and None not in by_number:
        return np.array(by_number, np.int64)
    if unnamed:
        # A class number is named as the fault only when there is no label that is neither a name nor a number.
        unknown = [index for index in unnamed if by_number[index] is None]
        first = min(unknown or unnamed, key=lambda index: rows[index])
        raise DataInvalid(
            f"{path}, row {rows[first]}, column {column}: the label {labels[first]!r} is out of range: "
            f"{_expected(labels[first], names, numbered, mixed=not unknown)}."
        )
    return np.array(ids, np.int64)


def hold_numbers(labels: Iterable[str], names: Sequence[str]) -> bool:
    """True when the labels of a file that was read are class numbers, not names."""
    known = {key(name) for name in names}
    return not any(key(label) in known for label in labels)


def check_numbers(
    labels: np.ndarray,
    names: Sequence[str],
    path: Path,
    rows: Sequence[int] | None = None,
    unit: str = "row",
) -> np.ndarray:
    """Class numbers int64 [N] of labels that are integers. Raises `DataInvalid` with the first row that is none.

    Where class names are numbers, the labels are those names; otherwise they are class numbers. `rows` are the labels'
    row numbers, by default 1, 2, 3, ..; `unit` is what an error calls a row.
    """
    named = {int(number): index for index, name in enumerate(names) if (number := _whole(name)) is not None}
    numbered = not any(number_of(name) is not None for name in names) or list(names) == _counted(len(names))
    distinct, inverse = np.unique(labels, return_inverse=True)
    ids = [
        (int(label) if 0 <= label < len(names) else -1) if numbered else named.get(int(label), -1)
        for label in distinct
    ]
    found = np.array(ids, np.int64)[inverse]
    if (found < 0).any():
        wrong = np.flatnonzero(found < 0)
        at = min(wrong.tolist(), key=lambda index: rows[index]) if rows else int(wrong[0])
        expected = f"0 to {len(names) - 1}" if numbered else f"one of {', '.join(names[:_SHOWN])}"
        raise DataInvalid(
            f"{path}, {unit} {rows[at] if rows else at + 1}: the label {labels[at]} is out of range: "
            f"expected {expected}."
        )
    return found


def _whole(name: str) -> Decimal | None:
    number = number_of(name)
    return number if number is not None and number == number.to_integral_value() else None


def class_numbers(labels: np.ndarray, path: Path) -> tuple[str, ...]:
    """The names `0`, `1`, .. of integer labels without names. Raises `DataInvalid` for fewer than two classes.

    Raises too when the numbers are so large or so many that they cannot be classes.
    """
    found = np.unique(labels)
    highest = int(found.max(initial=0))
    if highest >= max(len(labels), 1000):
        raise DataInvalid(
            f"{path}: the label {highest} would be the number of a class, but there are {len(labels)} "
            "examples; give the classes' names in data.class_names, or numbers from 0."
        )
    _refuse_measurements([Decimal(int(label)) for label in found], len(labels), path, "labels")
    if len(found) < 2:
        raise DataInvalid(f"{path}: expected labels of two classes or more, got {_only(found)}.")
    return tuple(_counted(highest + 1))


def doubtful_names(names: Sequence[str]) -> list[str]:
    """Classes as found in the labels that may not be meant so: a quantity's values, spellings, missing values."""
    said = []
    numbers = sum(number_of(name) is not None for name in names)
    if numbers > _MANY_CLASSES:
        said.append(
            f"the label has {numbers} different numbers, each a class of its own; if it measures something, "
            "task: regression predicts a number"
        )
    lower: dict[str, str] = {}
    for name in names:
        other = lower.setdefault(name.lower(), name)
        if other != name:
            said.append(f"the classes {other} and {name} differ in capitals only")
    said += [
        f"the class {name} looks like a missing value; if it is one, remove its rows"
        for name in names
        if is_like_missing(name)
    ]
    return said


def require_two(counts: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Raises `DataInvalid` when training has examples (int64 [classes]) of one class only."""
    present = [name for name, count in zip(names, counts, strict=True) if count]
    if len(present) < 2:
        raise DataInvalid(f"{path}: expected labels of two classes or more, got {_only(present)}.")


def _only(labels: Iterable[object]) -> str:
    """One label or none, for a message: a bare 2 could be read as a count."""
    return ", ".join(f"only the label {str(label)!r}" for label in labels) or "none"


def integer_labels(labels: np.ndarray, path: Path, what: str) -> np.ndarray:
    """Integer labels [N] of an array [N] or [N,1], whole floats too. Raises `DataInvalid` with advice for any other."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        return labels
    if labels.ndim == 1 and labels.dtype.kind == "f":
        # float16 has no 2**53.
        labels = labels.astype(np.float64)
        wrong = ~(np.abs(labels) < 2.0**53) | (labels != np.floor(labels))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataInvalid(f"{path}, {what}, row {row + 1}: expected a whole number, got {labels[row]}.")
        return labels.astype(np.int64)
    advice = ""
    if labels.dtype.kind in "USO":
        advice = " names, numbers = np.unique(labels, return_inverse=True) makes numbers, data.class_names names them."
    elif labels.ndim == 2:
        advice = " labels.argmax(axis=1) makes numbers of one-hot rows."
    elif labels.dtype.kind == "b":
        advice = " labels.astype(int) makes 0 and 1 of them."
    raise DataInvalid(
        f"{path}, {what}: expected labels as integers [N], got {labels.dtype} {list(labels.shape)}.{advice}"
    )


def _counted(classes: int) -> list[str]:
    return [str(number) for number in range(classes)]


def _class_number(label: str, classes: int) -> int | None:
    number = number_of(label)
    whole = number is not None and number == number.to_integral_value() and 0 <= number < classes
    return int(number) if whole and number is not None else None


def _refuse_measurements(labels: Sequence[Decimal | str], examples: int, path: Path, column: str) -> None:
    """Raises `DataInvalid` when there are so many different labels that they look like a quantity."""
    numbers = [label for label in labels if isinstance(label, Decimal)]
    decimals = sum(number != number.to_integral_value() for number in numbers)
    many = len(labels) > _MANY_CLASSES and examples < _FEWEST_EXAMPLES * len(labels)
    rare = decimals > _FEW_DECIMALS and examples < 2 * len(labels)
    if many or rare or (decimals and len(numbers) > _MOST_DECIMALS):
        kind = "numbers" if len(numbers) == len(labels) else "labels"
        raise DataInvalid(
            f"{path}, column {column}: {len(labels)} different {kind} in {examples} rows are no classes: a quantity "
            "to be predicted, an identifier, or another column than the label. Of a quantity task: regression predicts "
            "one; else name the right column in data.label, or, if each one is a class, list them in data.class_names."
        )


def _expected(label: str, names: Sequence[str], numbered: bool, *, mixed: bool) -> str:
    shown = ", ".join(names[:_SHOWN]) + (", .." if len(names) > _SHOWN else "")
    if mixed:
        return f"a class's number in a file that holds names elsewhere; expected one of {shown}"
    if not numbered:
        return f"expected one of {shown}, compared as numbers"
    near = difflib.get_close_matches(label, names, n=1, cutoff=0.7)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"expected one of {shown}{hint}, or a number from 0 to {len(names) - 1}"
