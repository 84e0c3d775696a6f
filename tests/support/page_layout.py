"""How a page behaves on a narrow screen, as far as its elements tell."""

from __future__ import annotations

from html.parser import HTMLParser

# Such columns fit on 400 pixels.
NARROW_COLUMNS = 3
_VOID = {"meta", "img", "br", "line", "rect", "circle", "path", "polyline", "link"}


class _Layout(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.viewport = False
        self.wide: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self._columns = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if tag == "meta" and found.get("name") == "viewport":
            self.viewport = True
        scrolls = any(inside for _, inside in self._open) or "scroll" in (found.get("class") or "").split()
        if tag == "svg" and "width" in found and not scrolls:
            self.wide.append(f"svg {found.get('aria-label')}")
        if tag == "tr":
            self._columns = 0
        if tag in ("td", "th"):
            self._columns += 1
            if self._columns == NARROW_COLUMNS + 1 and not scrolls:
                self.wide.append(f"a table's column {self._columns}")
        if tag not in _VOID:
            self._open.append((tag, scrolls))

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """An element that ends itself, such as those of an SVG, leaves the open ones as they are."""
        self.handle_starttag(tag, attributes)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass


def what_overflows(page: str) -> list[str]:
    """What makes a page too wide for a narrow screen: no viewport, and wide tables and pictures that do not scroll."""
    layout = _Layout()
    layout.feed(page)
    return [*([] if layout.viewport else ["no viewport"]), *dict.fromkeys(layout.wide)]
