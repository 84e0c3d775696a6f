"""Expressions over columns: `label == 6`, `label in ('Shirt', 'Coat') and confidence < 0.5`, `len(text) > 1000`.

Python's parser makes a tree of the expression. The tree is not executed; only these nodes are allowed: and, or, not,
comparisons, `in` with a list, + - * / %, numbers, strings, column names, len(). A column name with characters other
than letters, digits and _ is written in backquotes: `petal width (cm)`.
"""

from __future__ import annotations

import ast
import difflib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.data.label_rule import class_of, values_of
from atelier_client.errors import InputError

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
_QUOTED = re.compile(r"`([^`]*)`")
_LONGEST = 1000


@dataclass(frozen=True)
class ClassColumn:
    """Class numbers int64 [N] that an expression may also compare with class names."""

    numbers: NDArray[Any]
    names: Sequence[str]

    @property
    def values(self) -> NDArray[Any]:
        """What is compared with numbers: the class's name when names are numbers (label_rule.py), else its number."""
        values = values_of(self.names)
        return self.numbers if values is None else np.array(values)[self.numbers]


Column = NDArray[Any] | ClassColumn
Columns = Mapping[str, Column]


class Expression:
    """A parsed expression. Raises `InputError` for one that is not allowed."""

    def __init__(self, text: str) -> None:
        self.text = text
        quoted: dict[str, str] = {}

        def stand_in(match: re.Match[str]) -> str:
            name = f"quoted_{len(quoted)}_"
            quoted[name] = match[1]
            return name

        try:
            if len(text) > _LONGEST:
                raise SyntaxError("it is too long")
            self._tree = ast.parse(_QUOTED.sub(stand_in, text.strip()), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            raise self._wrong(f"it is no expression ({reason})") from None
        self._quoted = quoted

    @property
    def column(self) -> str | None:
        """The column's name when the expression is only a column name, else None."""
        return self._name(self._tree) if isinstance(self._tree, ast.Name) else None

    @property
    def columns(self) -> frozenset[str]:
        """The names of all columns that the expression asks for."""
        nodes = (node for node in ast.walk(self._tree) if isinstance(node, ast.Name))
        return frozenset(self._name(node) for node in nodes) - {"len"}

    def mask(self, columns: Columns) -> NDArray[Any]:
        """True for each row that fulfils the expression, bool [N]. Raises `InputError`."""
        with np.errstate(all="ignore"):
            value = self._value(self._tree, columns)
        if not isinstance(value, np.ndarray) or value.dtype != bool:
            raise self._wrong("expected a condition, such as label == 6, or the name of a column")
        return value

    def lookup(self, name: str, columns: Columns) -> NDArray[Any] | ClassColumn:
        """The column with that name. Raises `InputError`, which suggests the nearest name."""
        if name in columns:
            return columns[name]
        near = difflib.get_close_matches(name, columns, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        if any(name in column.names for column in columns.values() if isinstance(column, ClassColumn)):
            hint = f" The class is written in quotes: '{name}'."
        shown = ", ".join(list(columns)[:12]) + (", .." if len(columns) > 12 else "")
        raise self._wrong(f"there is no column {name!r}.{hint} There are: {shown}")

    def _value(self, node: ast.AST, columns: Columns) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | str()):
                return node.value
            case ast.Name():
                return self.lookup(self._name(node), columns)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self._value(item, columns) for item in items]
            case ast.BoolOp(op=operation, values=parts):
                masks = [self._condition(part, columns) for part in parts]
                return (np.logical_and if isinstance(operation, ast.And) else np.logical_or).reduce(masks)
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return ~self._condition(part, columns)
            case ast.UnaryOp(op=ast.USub(), operand=part):
                return -self._number(self._value(part, columns))
            case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _ARITHMETIC:
                sides = (self._number(self._value(side, columns)) for side in (left, right))
                try:
                    return _ARITHMETIC[type(operation)](*sides)
                except (ZeroDivisionError, OverflowError) as error:
                    raise self._wrong(f"{ast.unparse(node)}: {error}") from None
            case ast.Compare(left=left, ops=operations, comparators=rights):
                return self._comparison(left, operations, rights, columns)
            case ast.Call(func=ast.Name(id="len"), args=[argument], keywords=[]):
                return np.array([len(item) for item in self._texts(self._value(argument, columns))])
            case ast.BinOp(op=ast.BitAnd() | ast.BitOr()):
                raise self._wrong("write `and` and `or` instead of & and |")
        raise self._wrong(
            f"{ast.unparse(node)} is not understood here. Known: and, or, not, comparisons, in, + - * / %, numbers, "
            "strings, columns, len()"
        )

    def _comparison(
        self, left: ast.expr, operations: Sequence[ast.cmpop], rights: Sequence[ast.expr], columns: Columns
    ) -> Any:
        first = self._value(left, columns)
        result = None
        for operation, right in zip(operations, rights, strict=True):
            second = self._value(right, columns)
            if isinstance(operation, (ast.In, ast.NotIn)):
                if not isinstance(second, list):
                    raise self._wrong("`in` wants a list: label in (2, 4)")
                found = np.logical_or.reduce([self._compared(operator.eq, first, item) for item in second])
                part = found if isinstance(operation, ast.In) else ~found
            elif type(operation) in _COMPARE:
                part = self._compared(_COMPARE[type(operation)], first, second)
            else:
                raise self._wrong("`is` is not understood here; write ==")
            result = part if result is None else result & part
            first = second
        return result

    def _compared(self, compare: Callable[[Any, Any], Any], first: Any, second: Any) -> Any:
        if isinstance(first, ClassColumn) and isinstance(second, str):
            second = self._class(second, first.names)
        if isinstance(second, ClassColumn) and isinstance(first, str):
            first = self._class(first, second.names)
        # Class names are already class numbers, which are NumPy integers. Numbers of the expression are Python's.
        named = any(isinstance(side, np.integer) for side in (first, second))
        sides = [
            (side.numbers if named else side.values) if isinstance(side, ClassColumn) else side
            for side in (first, second)
        ]
        if any(isinstance(side, list) for side in sides):
            raise self._wrong("a list is compared with `in`")
        texts = [isinstance(side, str) or (_is_array(side) and side.dtype.kind in "OSU") for side in sides]
        if any(isinstance(side, str) for side in sides) or all(texts):
            sides = [self._texts(side) if _is_array(side) else side for side in sides]
        elif any(texts):
            sides = [self._number(side) for side in sides]
        return compare(sides[0], sides[1])

    def _class(self, name: str, names: Sequence[str]) -> np.int64:
        number = class_of(name, names)
        if number >= 0:
            return np.int64(number)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise self._wrong(f"there is no class {name!r}.{hint} There are: {', '.join(names)}")

    def _condition(self, node: ast.AST, columns: Columns) -> Any:
        value = self._value(node, columns)
        if not _is_array(value) or value.dtype != bool:
            raise self._wrong(f"{ast.unparse(node)} is no condition")
        return value

    def _number(self, value: Any) -> Any:
        if isinstance(value, ClassColumn):
            return value.values
        if _is_array(value) and value.dtype.kind in "OSU":
            try:
                return value.astype(np.float64)
            except (ValueError, TypeError):
                raise self._wrong("a column of text is used as numbers") from None
        if isinstance(value, (str, list)):
            raise self._wrong(f"{value!r} is used as a number")
        return value

    def _texts(self, value: Any) -> NDArray[Any]:
        if not _is_array(value) or value.dtype.kind not in "OSU":
            raise self._wrong("a column of numbers is used as text")
        plain = [
            item.decode(errors="replace") if isinstance(item, bytes) else str(item) for item in value.tolist()
        ]
        return np.array(plain)

    def _name(self, node: ast.Name) -> str:
        return self._quoted.get(node.id, node.id)

    def _wrong(self, reason: str) -> InputError:
        return InputError(f"slice {self.text!r}: {reason}.")


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)
