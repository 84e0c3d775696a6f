"""Where the fields of a text proto stand in its text, so that one value can be changed and all else stays as it is.

The syntax is that of protobuf.dev/reference/protobuf/textformat-spec, as far as model configurations use it: no
extensions and no Any. The text must have been parsed by protobuf before; here it is only cut into pieces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<word>(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^\s{}<>\[\]:,;"'\#])+)|(?P<sign>[{}<>\[\]:,;])"""
)
_CLOSING = {"{": "}", "<": ">"}


@dataclass(frozen=True)
class Token:
    """A word or a sign, and where it stands."""

    text: str
    start: int
    end: int


@dataclass
class Element:
    """One value of a field, from `start` to `end`: a message with `fields`, or a scalar with its `text`.

    `close` is where a message's closing brace stands.
    """

    start: int
    end: int
    text: str = ""
    fields: list[Field] = field(default_factory=list)
    close: int = 0

    def of(self, name: str) -> list[Field]:
        """The fields of a name."""
        return [one for one in self.fields if one.name == name]

    def scalar(self, name: str) -> Element | None:
        """The value of the last field of a name, as the parser takes it; None when there is none."""
        elements = [element for one in self.of(name) for element in one.elements]
        return elements[-1] if elements else None


@dataclass
class Field:
    """A name with its value, from `start` to `end`; a list in brackets (`listed`) has several elements."""

    name: str
    start: int
    end: int
    elements: list[Element]
    listed: bool


@dataclass(frozen=True)
class Edit:
    """A piece of the text, from `start` to `end`, and what takes its place."""

    start: int
    end: int
    text: str = ""


def parse(text: str) -> Element:
    """The whole text as a message. Raises `ValueError` for what is no text proto."""
    tokens = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"unexpected {text[place]!r}")
        if match.lastgroup:
            tokens.append(Token(match[0], match.start(), match.end()))
        place = match.end()
    whole = Element(0, len(text), close=len(text))
    whole.fields = _Reader(tokens).fields("")
    return whole


def apply(text: str, edits: Sequence[Edit]) -> str:
    """The text after the edits, which do not overlap."""
    for edit in sorted(edits, key=lambda one: (one.start, one.end), reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def removal(text: str, start: int, end: int) -> Edit:
    """The edit that removes a field; its whole line, when nothing else stands there."""
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end + 1
    alone = not text[line_start:start].strip() and not text[end:line_end].strip(" \t\r\n,;")
    return Edit(line_start, line_end) if alone else Edit(start, end)


def insertion(text: str, message: Element, addition: str) -> Edit:
    """The edit that adds fields, written in lines, at the end of a message in the manner of the text around it."""
    place = message.close
    line_start = text.rfind("\n", 0, place) + 1
    before = text[line_start:place]
    if before.strip() or not message.end - message.close:
        # The brace stands behind something else on its line, or there is none, at the end of the text.
        lead = "" if not text[:place] or text[:place].endswith(("\n", " ")) else " "
        if message.end == message.close:
            lead = "" if not text or text.endswith("\n") else "\n"
            return Edit(place, place, f"{lead}{addition}\n")
        return Edit(place, place, f"{lead}{' '.join(line.strip() for line in addition.splitlines())} ")
    lines = "".join(f"{before}  {line}\n" for line in addition.splitlines())
    return Edit(line_start, line_start, lines)


class _Reader:
    """Takes the tokens in turn."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._place = 0

    def fields(self, closing: str) -> list[Field]:
        """The fields up to a closing brace, or to the end of the text."""
        found = []
        while (token := self._peek()) is not None and token.text != closing:
            if token.text in (",", ";"):
                self._place += 1
            else:
                found.append(self._field())
        if (token is None) != (closing == ""):
            raise ValueError(f"no {closing!r}" if closing else "an unexpected brace")
        return found

    def _field(self) -> Field:
        name = self._next()
        if (token := self._peek()) is not None and token.text == ":":
            self._place += 1
        if (token := self._peek()) is not None and token.text == "[":
            self._place += 1
            elements = []
            while (token := self._peek()) is not None and token.text != "]":
                if token.text == ",":
                    self._place += 1
                else:
                    elements.append(self._element())
            return Field(name.text, name.start, self._next().end, elements, listed=True)
        element = self._element()
        return Field(name.text, name.start, element.end, [element], listed=False)

    def _element(self) -> Element:
        token = self._next()
        if token.text in _CLOSING:
            closing = _CLOSING[token.text]
            fields = self.fields(closing)
            close = self._next()
            return Element(token.start, close.end, fields=fields, close=close.start)
        end = token.end
        text = token.text
        # Strings that follow each other are one.
        while text[-1] in "\"'" and (following := self._peek()) is not None and following.text[0] in "\"'":
            end = self._next().end
            text += following.text
        return Element(token.start, end, text)

    def _peek(self) -> Token | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _next(self) -> Token:
        token = self._peek()
        if token is None:
            raise ValueError("the text ends early")
        self._place += 1
        return token
