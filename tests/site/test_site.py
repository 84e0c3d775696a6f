"""The site: built strictly, whole, and needing nothing from elsewhere."""

from __future__ import annotations

import importlib
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import running_browser
from tests.support.site import ROOT, build

# Attributes by which a page has something fetched at once; a link is only followed by its reader.
FETCHED = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "object": ("data",),
    "link": ("href",),
    "video": ("src", "poster"),
    "audio": ("src",),
}


class Contents(HTMLParser):
    """What a page has: ids, links, things to fetch, and the text of its paragraphs."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.classes: set[str] = set()
        self.paragraphs: list[str] = []
        self._within: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids.update(given[name] for name in ("id", "name") if given.get(name))
        self.classes.update(given.get("class", "").split())
        self.fetched += [given[name] for name in FETCHED.get(tag, ()) if given.get(name)]
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "p":
            self.paragraphs.append("")
        self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while tag in self._within and self._within.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "p" in self._within and "code" not in self._within:
            self.paragraphs[-1] += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site's folder."""
    target = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", target)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return target


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Contents]:
    return {file: Contents(file) for file in sorted(site.rglob("*.html"))}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


def test_every_document_is_a_page(site: Path) -> None:
    documents = [file.relative_to(ROOT / "docs") for file in (ROOT / "docs").rglob("*.md")]
    assert len(documents) > 15
    assert [str(name) for name in documents if not (site / name).with_suffix(".html").exists()] == []


def test_nothing_is_fetched_from_elsewhere(site: Path, pages: dict[Path, Contents]) -> None:
    elsewhere = re.compile(r"(?:[a-z][a-z+.-]*:)?//")
    fetched = [target for page in pages.values() for target in page.fetched]
    for style in site.rglob("*.css"):
        fetched += re.findall(r"(?:url\(|@import\s+)['\"]?([^'\")\s]+)", style.read_text(encoding="utf-8"))
    assert len(fetched) > 100
    assert [target for target in fetched if elsewhere.match(target)] == []
    # The theme would fetch what draws such a diagram.
    assert not any("mermaid" in page.classes for page in pages.values())


def test_each_link_and_anchor_leads_somewhere(site: Path, pages: dict[Path, Contents]) -> None:
    followed, broken = 0, []
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            followed += 1
            # The page for what is missing is shown at any address: its links start from the top.
            base = site if file.name == "404.html" else file.parent
            target = (base / unquote(parts.path.lstrip("/"))).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            known = pages[target].ids if target in pages else set()
            if not target.exists() or (anchor and target in pages and anchor not in known):
                broken.append((file.relative_to(site).as_posix(), link))
    assert followed > 500
    assert broken == []


def test_each_list_is_drawn_as_one(pages: dict[Path, Contents]) -> None:
    """Python-Markdown wants an empty line before a list; without it the items run together in a paragraph."""
    texts = [text for page in pages.values() for text in page.paragraphs]
    assert len(texts) > 300
    assert [text for text in texts if re.search(r"^(?:- |\|)", text, re.MULTILINE)] == []


@pytest.mark.parametrize(
    "module",
    ["atelier_client", "atelier_client.errors", "atelier_client.request_log", "atelier_client.testing"],
)
def test_each_public_name_is_described(site: Path, pages: dict[Path, Contents], module: str) -> None:
    names = importlib.import_module(module).__all__
    described = pages[site / "reference" / "python.html"].ids
    assert [name for name in names if f"{module}.{name}" not in described and name != "__version__"] == []


def test_a_page_without_a_place_and_a_broken_link_stop_the_build(tmp_path: Path) -> None:
    for name in ("docs", "client"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.png"))
    for file in (*ROOT.glob("*.md"), ROOT / "mkdocs.yml", ROOT / "LICENSE"):
        shutil.copy(file, tmp_path)
    (tmp_path / "docs" / "forgotten.md").write_text(
        "# Forgotten\n\n[gone](gone.md) [there](trainer.md#nowhere)\n"
    )
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 1
    assert 'not included in the "nav" configuration:\n  - forgotten.md' in done.stderr
    assert "'gone.md'" in done.stderr
    assert "'trainer.md#nowhere'" in done.stderr


def test_the_search_finds_a_page_from_the_folder_and_asks_no_network(site: Path, browser: Browser) -> None:
    page = browser.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((site / "architecture.html").as_uri())
    page.goto((site / "index.html").as_uri())
    # The index is read when the field is entered, and what is typed before that is not asked for.
    page.locator("input[name=query]").focus()
    expect(page.locator(".md-search-result__meta")).to_have_text("Type to start searching", timeout=120_000)
    page.locator("input[name=query]").press_sequentially("rollback")
    expect(page.locator(".md-search-result__item").first).to_be_visible(timeout=120_000)
    results = page.locator(".md-search-result__link").evaluate_all("links => links.map(link => link.href)")
    assert any("/releases.html" in address for address in results), results
    page.close()
    assert len(asked) > 5
    assert [address for address in asked if not address.startswith("file:")] == []
    assert said == []
