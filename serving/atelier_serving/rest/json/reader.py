"""JSON, read as rapidjson 1.1 reads it: TensorFlow Serving gives rapidjson's error texts and offsets to the client.

Source: rapidjson/reader.h and error/en.h at 1.1.0, without the check that no text follows the document.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import orjson

from atelier_serving.status import invalid

_T = TypeVar("_T")
# What one step may take: while it runs, no other thread does. A number must fit into it.
PIECE_BYTES = 64 * 1024
_WHOLE = re.compile(rb"0|[1-9][0-9]*")
_SPACE = re.compile(rb"[ \t\r\n]*")
_PLAIN_STRING = re.compile(rb'"([^"\\\x00-\x1f]*)"')
# Characters and whole escapes, but for half a surrogate pair.
_CHARACTERS = re.compile(
    rb'(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})++"
)
_ESCAPE_RUN = re.compile(rb'(?:\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt]))++')
_DIGITS = re.compile(rb"[0-9]+")
_ESCAPES = {b'"': '"', b"\\": "\\", b"/": "/", b"b": "\b", b"f": "\f", b"n": "\n", b"r": "\r", b"t": "\t"}
_MAX_DEPTH = 200
_TOO_BIG = "Number too big to be stored in double."


class Reader:
    """rapidjson's recursive descent. It decides the same in the same order, so it gives the same errors and offsets."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 3 if body.startswith(b"\xef\xbb\xbf") else 0
        self._depth = 0

    def document(self) -> Any:
        self._space()
        if self._at >= len(self._body):
            raise self._error("The document is empty.")
        return self._value()

    def _error(self, text: str, offset: int | None = None) -> Exception:
        return invalid(f"JSON Parse error: {text} at offset: {self._at if offset is None else offset}")

    def _peek(self) -> bytes:
        return self._body[self._at : self._at + 1]

    def _take(self, expected: bytes) -> bool:
        found = self._peek() == expected
        self._at += found
        return found

    def _pause(self) -> None:
        """Between two steps that are long: others may run."""

    def _space(self) -> None:
        while True:
            end = self._at + PIECE_BYTES
            self._at = _SPACE.match(self._body, self._at, end).end()  # type: ignore[union-attr]
            if self._at < end:
                return
            self._pause()

    def _value(self) -> Any:
        head = self._peek()
        if head in (b"n", b"t", b"f"):
            return self._word(*{b"n": (b"null", None), b"t": (b"true", True), b"f": (b"false", False)}[head])
        if head == b'"':
            return self._string()
        if head not in (b"{", b"["):
            return self._number()
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error("Terminate parsing due to Handler error.")
        value = self._object() if head == b"{" else self._array()
        self._depth -= 1
        return value

    def _word(self, word: bytes, value: _T) -> _T:
        for letter in word:
            if not self._take(bytes([letter])):
                raise self._error("Invalid value.")
        return value

    def _object(self) -> dict[str, Any]:
        self._at += 1
        members: dict[str, Any] = {}
        self._space()
        if self._take(b"}"):
            return members
        while True:
            if self._peek() != b'"':
                raise self._error("Missing a name for object member.")
            name = self._string()
            self._space()
            if not self._take(b":"):
                raise self._error("Missing a colon after a name of object member.")
            self._space()
            self._member(members, name, self._value())
            self._space()
            if self._take(b"}"):
                return members
            if not self._take(b","):
                raise self._error("Missing a comma or } after an object member.")
            self._space()

    def _member(self, members: dict[str, Any], name: str, value: Any) -> None:
        """Of equal names the first counts."""
        members.setdefault(name, value)

    def _array(self) -> Any:
        self._at += 1
        self._space()
        return [] if self._take(b"]") else self._items()

    def _items(self) -> Any:
        """The items of an array that is not empty; reads up to the end of the array."""
        items = [self._value()]
        while not self._array_ends():
            items.append(self._value())
        return items

    def _array_ends(self) -> bool:
        self._space()
        if self._take(b"]"):
            return True
        if not self._take(b","):
            raise self._error("Missing a comma or ] after an array element.")
        self._space()
        return False

    def _string(self) -> str:
        if plain := _PLAIN_STRING.match(self._body, self._at, self._at + PIECE_BYTES):
            self._at = plain.end()
            return self._text(plain[1])
        self._at += 1
        content = bytearray()
        while not self._take(b'"'):
            if found := _CHARACTERS.match(self._body, self._at, self._at + PIECE_BYTES):
                self._at = found.end()
                self._add(content, _unescaped(found[0]))
                continue
            head = self._peek()
            if head == b"\\":
                # The UTF-8 bytes that rapidjson makes of it, also of half a surrogate pair.
                self._add(content, self._escape().encode("utf-8", "surrogatepass"))
            elif head in (b"", b"\0"):
                raise self._error("Missing a closing quotation mark in string.")
            else:
                raise self._error("Invalid escape character in string.")
        return self._text(content)

    def _add(self, content: bytearray, piece: bytes) -> None:
        """More of a string that is being read."""
        content += piece

    def _text(self, content: bytes | bytearray) -> str:
        """A string that has been read."""
        return content.decode("utf-8", "surrogateescape")

    def _escape(self) -> str:
        offset = self._at
        self._at += 1
        letter = self._peek()
        self._at += 1
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if letter != b"u":
            raise self._error("Invalid escape character in string.", offset)
        code = self._hex(offset)
        if 0xD800 <= code <= 0xDBFF:
            if not (self._take(b"\\") and self._take(b"u")):
                raise self._error("The surrogate pair in string is invalid.", offset)
            low = self._hex(offset)
            if not 0xDC00 <= low <= 0xDFFF:
                raise self._error("The surrogate pair in string is invalid.", offset)
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
        return chr(code)

    def _hex(self, offset: int) -> int:
        digits = self._body[self._at : self._at + 4]
        if not re.fullmatch(rb"[0-9a-fA-F]{4}", digits):
            raise self._error("Incorrect hex digit after \\u escape in string.", offset)
        self._at += 4
        return int(digits, 16)

    def _number(self) -> int | float:
        start = self._at
        sign = -1.0 if self._take(b"-") else 1.0
        if self._take(b"N"):
            return self._word(b"aN", float("nan"))
        if self._take(b"I"):
            self._word(b"nf", None)
            return self._word(b"inity", sign * float("inf")) if self._peek() == b"i" else sign * float("inf")
        end = start + PIECE_BYTES
        match = _WHOLE.match(self._body, self._at, end)
        if not match:
            raise self._error("Invalid value.")
        self._at = match.end()
        whole = True
        if self._take(b"."):
            self._digits("Miss fraction part in number.", end)
            whole = False
        if self._take(b"e") or self._take(b"E"):
            _ = self._take(b"+") or self._take(b"-")
            self._digits("Miss exponent in number.", end)
            whole = False
        if self._at >= end:
            raise self._error(_TOO_BIG, start)
        text = self._body[start : self._at]
        # rapidjson reads a whole number of more than 64 bits as a double.
        if whole and len(text) <= 20 and -(2**63) <= (number := int(text)) < 2**64:
            return number
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise self._error(_TOO_BIG, start)
        return value

    def _digits(self, error: str, end: int) -> None:
        match = _DIGITS.match(self._body, self._at, end)
        if match:
            self._at = match.end()
        elif self._at < end:
            raise self._error(error)


def _unescaped(piece: bytes) -> bytes:
    """Bytes of a string that has whole escapes only."""
    if b"\\" not in piece:
        return piece
    try:
        text: str = orjson.loads(b'"%s"' % piece)
        return text.encode()
    except ValueError:
        # Bytes that are no UTF-8, or a character that is cut at the end of the piece: they stay as they are.
        return _ESCAPE_RUN.sub(lambda run: orjson.loads(b'"%s"' % run[0]).encode(), piece)
