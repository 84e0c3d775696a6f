"""Large JSON documents, read a piece at a time, so that no other request waits and the memory is counted on the way.

A parser in C holds the interpreter until it has read the whole document (1 s for 100 MB), and each number takes 32
bytes or more. So this reader gives the parser 64 KiB at a time. Between two pieces other threads run, the reader
counts the memory of the values so far, and it stops if the client has gone. Lists of numbers become arrays. Irregular
JSON is read byte by byte, as in small documents, because rapidjson's decisions and error texts are needed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from atelier_serving.rest.json.decoder import decode
from atelier_serving.rest.json.packed import Packed, pack
from atelier_serving.rest.json.reader import PIECE_BYTES, Reader

_PAUSE_SECONDS = 0.0002
# Bytes of memory: of an item, of a list or object, of the place of a member, and of a string without its characters.
_ITEM = 40
_CONTAINER = 72
_MEMBER = 56
_STRING = 57
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_COMMA, _COLON, _QUOTE = b',:"'
_LEVEL = np.zeros(256, np.int8)
_LEVEL[list(b"[{")] = 1
_LEVEL[list(b"]}")] = -1


class LargeReader(Reader):
    """A `Reader` that calls `spend(bytes)` before it takes memory, and with a negative number after it gave some back.

    `spend` may raise; its error ends the reading.
    """

    def __init__(self, body: bytes, spend: Callable[[int], None]) -> None:
        super().__init__(body)
        self._spend = spend
        # Up to this position the document is irregular and is read byte by byte.
        self._irregular_until = 0

    def _value(self) -> Any:
        self._spend(_ITEM)
        return super()._value()

    def _pause(self) -> None:
        # The pause lets a thread that waits for the interpreter run.
        time.sleep(_PAUSE_SECONDS)
        self._spend(0)

    def _add(self, content: bytearray, piece: bytes) -> None:
        self._spend(len(piece))
        if len(content) // PIECE_BYTES != (len(content) + len(piece)) // PIECE_BYTES:
            self._pause()
        super()._add(content, piece)

    def _text(self, content: bytes | bytearray) -> str:
        self._spend(_STRING + len(content) * width(content))
        text = super()._text(content)
        if isinstance(content, bytearray):
            self._spend(-len(content))
        return text

    def _object(self) -> dict[str, Any]:
        self._spend(_CONTAINER)
        return super()._object()

    def _member(self, members: dict[str, Any], name: str, value: Any) -> None:
        self._spend(_MEMBER)
        super()._member(members, name, value)

    def _items(self) -> Any:
        items: list[Any] = []
        blocks: list[Any] = []
        self._spend(_CONTAINER)
        try:
            while True:
                piece = self._piece() if self._at >= self._irregular_until else None
                if piece is None:
                    items = self._single(items, blocks)
                    items.append(self._value())
                else:
                    self._take_over(piece, items, blocks)
                if self._array_ends():
                    return Packed(blocks) if blocks else items
        except BaseException:
            # Freeing millions of values in one step would hold the interpreter for long: free some at a time.
            while items:
                del items[-10_000:]
                time.sleep(0)
            raise

    def _take_over(self, piece: tuple[list[Any], int], items: list[Any], blocks: list[Any]) -> None:
        """Add a piece. Its cost has been counted as that of Python values; an array costs less."""
        values, cost = piece
        block = pack(values) if not items else None
        if block is not None and _same_form(block, blocks):
            self._spend(sum(part.nbytes for part in block if part is not None) - cost)
            blocks.append(block)
        else:
            self._single(items, blocks)
            items += values

    def _single(self, items: list[Any], blocks: list[Any]) -> list[Any]:
        """Change the blocks to Python values, because irregular values follow them."""
        if blocks:
            self._spend(sum(values.size * _ITEM for values, _ in blocks))
            items += Packed(blocks)
            blocks.clear()
        return items

    def _piece(self) -> tuple[list[Any], int] | None:
        """The whole items in the next piece of text, and their cost in bytes; None to read them byte by byte."""
        window = self._body[self._at : self._at + PIECE_BYTES]
        # The same text with its escapes masked: now every quote begins or ends a string.
        codes = np.frombuffer(_ESCAPED.sub(b"__", window) if b"\\" in window else window, np.uint8)
        quotes = codes == _QUOTE
        outside = (np.cumsum(quotes) & 1) == 0
        levels = _LEVEL[codes] * outside
        depth = np.cumsum(levels, dtype=np.int32)
        ends = np.flatnonzero(depth < 0)
        commas = (codes == _COMMA) & outside
        between = np.flatnonzero(commas & (depth == 0))
        size = int(ends[0]) if len(ends) else int(between[-1]) if len(between) else 0
        if not size:
            return None
        colons = np.count_nonzero((codes[:size] == _COLON) & outside[:size])
        cost = (
            size * (4 if b"\\u" in window else width(window))
            + _ITEM * (np.count_nonzero(commas[:size]) + 1)
            + _CONTAINER * np.count_nonzero(levels[:size] > 0)
            + (_MEMBER + _ITEM) * colons
            + _STRING * (np.count_nonzero(quotes[:size]) // 2)
        )
        self._spend(int(cost))
        self._pause()
        try:
            values, rest = decode(b"[" + window[:size] + b"]")
        except (ValueError, RecursionError):
            rest = "irregular"
        if rest:
            self._spend(-int(cost))
            self._irregular_until = self._at + size
            return None
        self._at += size
        return values, int(cost)


def width(content: bytes | bytearray) -> int:
    """The bytes that Python takes for each character of a text, at most: its widest character decides."""
    if content.isascii():
        return 1
    # From these first bytes on a character is beyond U+FFFF.
    return 4 if np.frombuffer(content, np.uint8).max() >= 0xF0 else 2


def _same_form(block: Any, blocks: list[Any]) -> bool:
    return not blocks or block[0].shape[1:] == blocks[0][0].shape[1:]
