"""The cells of a CSV: which are numbers, categories or missing values, and advice about a cell that is none of them."""

from __future__ import annotations

import codecs
import functools
import re
from dataclasses import dataclass

import numpy as np

LARGEST = float(np.finfo(np.float32).max)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUTH = {"true": 1.0, "false": 0.0}
_MISSING = {
    "",
    "na",
    "n/a",
    "nan",
    "<na>",
    "#n/a",
    "nat",
    "null",
    "none",
    "nil",
    "?",
    "-",
    "--",
    ".",
    "missing",
}
# 2024-01-31, 31.01.2024, 1/31/24, 20240131T1200, with or without a time; Jan 31 2024; 12:30.
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}([T ].*)?"
    r"|\d{8}T\d+.*|\d{1,2}:\d{2}(:.*)?"
    r"|(\d{1,2}[ -.]+)?(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[ .,-]+\d.*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Dialect:
    """How a file is written: `separator`, `decimal` sign and `encoding` (a codec of Python's). `missing` are the cells,
    without the spaces around them, that stand for a missing value; a number among them in each of its spellings."""

    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    missing: tuple[str, ...] = ()

    @property
    def codec(self) -> str:
        """The codec to open a file with; UTF-8 may begin with a byte order mark."""
        return "utf-8-sig" if codecs.lookup(self.encoding).name == "utf-8" else self.encoding

    @functools.cached_property
    def missing_numbers(self) -> frozenset[float]:
        """The values of those of `missing` that are numbers: with `-999`, the cell `-999.0` is missing too."""
        values = (_value(word, sign) for word in self.missing for sign in (self.decimal, "."))
        return frozenset(value for value in values if value is not None)


PLAIN = Dialect()


def number(cell: object, dialect: Dialect) -> float | None:
    """The value of a cell, NaN when it is missing, None when it is no finite number of float32's range."""
    if not isinstance(cell, str):
        return None
    text = cell.strip()
    if text in dialect.missing:
        return float("nan")
    value = _TRUTH[text.lower()] if text.lower() in _TRUTH else _value(text, dialect.decimal)
    if value in dialect.missing_numbers:
        return float("nan")
    return value if value is not None and abs(value) <= LARGEST else None


def _value(text: str, decimal: str) -> float | None:
    if decimal != ".":
        if "." in text:
            return None
        text = text.replace(decimal, ".")
    return float(text) if _NUMBER.fullmatch(text) else None


def category(cell: object, dialect: Dialect) -> str | None:
    """The category of a cell, `""` when it is missing, None of an empty cell that is not."""
    if not isinstance(cell, str):
        return None
    text = cell.strip()
    return "" if text in dialect.missing else text or None


def is_missing(text: str, dialect: Dialect) -> bool:
    """True when a cell, without the spaces around it, stands for a missing value in a column of numbers or labels."""
    return text in dialect.missing or _value(text, dialect.decimal) in dialect.missing_numbers


def is_like_missing(text: str) -> bool:
    """True of what other programs write for a missing value, as NA; only what the job names is one."""
    return text.strip().lower() in _MISSING


def advice(cell: str, column: str, dialect: Dialect) -> str:
    """The end of an error about a cell that is no number: what was expected, what came, and which job key may help."""
    text = cell.strip()
    named = column if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_ -]*", column) else repr(column)
    leave_out = f"leave it out with data.columns: {{{named}: ignore}}"
    if is_like_missing(text):
        kind = "a finite number" if text.lower() == "nan" else "a number"
        return (
            f"{kind}, got {cell!r}. If it is a missing value, data.missing: [{text!r}] puts training's mean in its "
            "place and tells the network."
        )
    try:
        float(text)
        if _NUMBER.fullmatch(text) and dialect.decimal == ".":
            return f"a finite number of float32's range, got {cell!r}."
        if text.lstrip("+-").lower() in ("inf", "infinity"):
            return f"a finite number, got {cell!r}. Remove the row, or name it in data.missing."
    except ValueError:
        pass
    if dialect.decimal == "." and re.fullmatch(r"[+-]?\d+,\d+", text):
        return f'a number, got {cell!r}. If the comma is the decimal sign: data.decimal: ",".'
    if dialect.decimal == "," and re.fullmatch(r"[+-]?\d+\.\d+", text):
        return (
            f"a number with the decimal sign ',', got {cell!r}. If it is the point, leave data.decimal out."
        )
    if re.fullmatch(r"[+-]?\d{1,3}([., '’_]\d{3})+([.,]\d+)?", text):
        return f"a number, got {cell!r}. Signs between thousands are not read: export the file without them."
    if _DATE.fullmatch(text):
        return (
            f"a number, got {cell!r}, which looks like a date or time. Make numbers of it (the year, the month, the "
            f"days since a start), or {leave_out}."
        )
    return f"a number, got {cell!r}. If {column} is a category: data.columns: {{{named}: category}}; or {leave_out}."
