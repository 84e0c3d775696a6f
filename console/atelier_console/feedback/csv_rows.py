"""Texts and rows of tables with their labels: CSV as the model card says that the user's files are written."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from atelier_client._files import read_bytes
from atelier_client._layout import Layout
from atelier_client.errors import DataError

from atelier_console.feedback.appended import append
from atelier_console.texts import say


def append_row(path: Path, layout: Layout, header: Sequence[str], cells: Sequence[str]) -> None:
    """Add a row; to a file that another program has saved again, with that one's line ends.

    Raises `DataError` when the file has another header, or the encoding has no form for a cell.
    """
    if "\n".encode(layout.encoding) != b"\n":
        raise DataError(say("no_such_encoding", encoding=layout.encoding))
    try:
        head, row = (_line(values, layout) for values in (header, cells))
    except UnicodeEncodeError as error:
        raise DataError(
            say("no_such_sign", encoding=layout.encoding, sign=error.object[error.start])
        ) from None

    def addition(file: Path | None) -> tuple[int, bytes]:
        text = read_bytes(file) if file else b""
        if head.startswith(text):
            # New, or cut short within the header.
            return 0, head + row
        end = _end_of_rows(text)
        if not text.startswith(head):
            found = _header(text, layout)
            if found != list(header):
                raise DataError(
                    say(
                        "other_header",
                        path=path,
                        found=", ".join(found),
                        header=", ".join(header),
                        separator=layout.separator,
                    )
                )
            if end < len(text):
                # Other programs end a file without a line end; the row may be whole.
                raise DataError(say("no_line_end", path=path))
        return end, row[:-1] + (b"\r\n" if text[:end].endswith(b"\r\n") else b"\n")

    append(path, addition)


def _line(cells: Sequence[str], layout: Layout) -> bytes:
    text = io.StringIO()
    # Every cell in quotes: no separator, quote or line end within a text can be taken for one of the file.
    csv.writer(text, delimiter=layout.separator, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(cells)
    return text.getvalue().encode(layout.encoding)


def _header(text: bytes, layout: Layout) -> list[str]:
    """The names in a file's first line, however it is quoted; without the mark that spreadsheets begin a file with."""
    decoded = text.decode(layout.encoding, errors="replace").removeprefix("\ufeff")
    try:
        return next(csv.reader(io.StringIO(decoded, newline=""), delimiter=layout.separator), [])
    except csv.Error:
        return []


def _end_of_rows(text: bytes) -> int:
    """Where the last whole row ends: at a line end outside of quotes."""
    end = text.rfind(b"\n") + 1
    while end and text.count(b'"', 0, end) % 2:
        end = text.rfind(b"\n", 0, end - 1) + 1
    return end
