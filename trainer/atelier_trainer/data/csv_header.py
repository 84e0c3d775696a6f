"""The header of a CSV file: its column names and what is wrong with them; and how a CSV file is opened."""

from __future__ import annotations

import codecs
import contextlib
import csv
import difflib
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from atelier_trainer.data.csv_cells import PLAIN, Dialect
from atelier_trainer.errors import DataInvalid

# What opening and parsing a damaged file raise, in Python's csv, gzip and codecs and in pandas.
UNREADABLE = (ValueError, OverflowError, EOFError, OSError, zlib.error, csv.Error, Warning)
# A review may be longer than the csv module's default of 128 kB for one cell.
_LONGEST_CELL = 1 << 24


def read(path: Path, label: str, dialect: Dialect = PLAIN) -> list[str]:
    """The column names. Raises `DataInvalid` when there are none, one occurs twice or has no name, or the label is
    missing."""
    header = names(path, dialect, f"a header with the column {label!r}")
    require(path, header, label, dialect)
    return header


def names(path: Path, dialect: Dialect = PLAIN, expected: str = "a header") -> list[str]:
    """The column names. Raises `DataInvalid` when there are none (`expected`), one occurs twice or has no name."""
    try:
        with open_csv(path, dialect) as handle:
            header = next(rows(handle, dialect), [])
    except FileNotFoundError:
        raise DataInvalid(
            f"{path} does not exist. Paths in a job start from the job file's folder."
        ) from None
    except IsADirectoryError:
        raise DataInvalid(
            f"{path} is a folder: name a file in it, or files by a pattern, as part-*.csv."
        ) from None
    except UNREADABLE as error:
        raise DataInvalid(unreadable(path, dialect, error)) from None
    if not any(name.strip() for name in header):
        raise DataInvalid(f"{path} is empty: expected {expected}, then rows.")
    _without_mark(path, header[0], dialect)
    _named(path, header)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataInvalid(f"{path}: the column {twice[0]!r} is there twice.")
    return header


def require(path: Path, header: Sequence[str], column: str, dialect: Dialect = PLAIN) -> None:
    """Raises `DataInvalid` with the nearest name when the column is missing."""
    if column in header:
        return
    shown = ", ".join(header[:8]) + (", .." if len(header) > 8 else "")
    hint = _near(column, header)
    if len(header) == 1:
        found = next((separator for separator in (";", "\t", "|", ",") if separator in header[0]), None)
        if found and found != dialect.separator:
            hint = f" Its columns look separated by {found!r}: data.separator: {_yaml(found)} reads them."
    raise DataInvalid(f"{path}: the column {column!r} is missing; it has {shown}.{hint}")


def same_columns(path: Path, header: Sequence[str], expected: Sequence[str], reference: Path) -> None:
    """Raises `DataInvalid` when a file's columns are not the expected ones, those of the file `reference`."""
    missing = [name for name in expected if name not in header]
    extra = [name for name in header if name not in expected]
    if missing or extra:
        said = [f"lacks {', '.join(map(repr, missing[:5]))}"] if missing else []
        said += [f"has also {', '.join(map(repr, extra[:5]))}"] if extra else []
        hint = _near(missing[0], extra) if missing else ""
        raise DataInvalid(f"{path} {' and '.join(said)}: its columns must be those of {reference}.{hint}")


def rows(handle: io.TextIOBase, dialect: Dialect) -> Iterator[list[str]]:
    """The header and the rows, without lines that are empty or have only spaces. Raises `csv.Error`."""
    csv.field_size_limit(_LONGEST_CELL)
    for row in csv.reader(handle, delimiter=dialect.separator, strict=True):
        # A line of two quotes is a row: an empty text.
        if row and (len(row) > 1 or not row[0] or row[0].strip(" \t")):
            yield row


def open_csv(path: Path, dialect: Dialect) -> io.TextIOBase:
    """A `.csv` or `.csv.gz` file, opened as text in the dialect's encoding."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding=dialect.codec, newline="")
    return open(path, encoding=dialect.codec, newline="")


def unreadable(path: Path, dialect: Dialect, error: Exception) -> str:
    """The message for an error of `UNREADABLE`, with advice when the encoding may be another."""
    hint = ""
    if isinstance(error, UnicodeError):
        hint = (
            " When it comes from Excel or an older program, data.encoding: cp1252 or latin-1 of a job may read it; for "
            "an import save it as UTF-8."
        )
    return f"{path}: not readable as CSV in {dialect.encoding.upper()}: {error}.{hint}"


def _near(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1) or [
        other for other in names if other.strip().lower() == name.strip().lower()
    ]
    return f" Did you mean {near[0]!r}?" if near else ""


def _without_mark(path: Path, first: str, dialect: Dialect) -> None:
    """Raises `DataInvalid` when a byte order mark that the encoding does not take away is part of the first name."""
    advice = ""
    mark = ""
    # Encodings of domain names do not know how to ignore.
    with contextlib.suppress(UnicodeError):
        mark = codecs.BOM_UTF8.decode(dialect.codec, "ignore")
    if first.startswith("\ufeff"):
        family = codecs.lookup(dialect.encoding).name[:6]
        advice = f"data.encoding: {family} takes it away" if family in ("utf-16", "utf-32") else "remove it"
    elif mark and first.startswith(mark):
        advice = "the file is in UTF-8, and data.encoding is better left out"
    if advice:
        raise DataInvalid(f"{path} begins with a byte order mark: {advice}.")


def _named(path: Path, header: Sequence[str]) -> None:
    unnamed = [number for number, name in enumerate(header, 1) if not name.strip()]
    if not unnamed:
        return
    if unnamed == [1]:
        why = "the index of df.to_csv(); write the file with df.to_csv(.., index=False)"
    elif unnamed == [len(header)]:
        why = "a separator at the end of the header; remove it there and in every row"
    else:
        why = "every column needs one"
    raise DataInvalid(f"{path}: column {unnamed[0]} of the header has no name: {why}.")


def _yaml(separator: str) -> str:
    return '"\\t"' if separator == "\t" else f'"{separator}"'
