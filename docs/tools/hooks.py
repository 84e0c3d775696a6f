"""MkDocs hooks: the pages at the checkout's root become pages of the site, and links fit both places.

In the repository a page links to others by paths in the checkout. On the site the root's pages have names of their
own, and what is no page (code, examples, the licence) is not there: such a link becomes plain text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# The checkout's pages outside docs/, and what they are called on the site.
ROOT_PAGES = {
    "README.md": "make.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    "CHANGELOG.md": "changelog.md",
}
_SITE_TO_ROOT = {page: source for source, page in ROOT_PAGES.items()}
_CODE = re.compile(r"^```.*?^```|^ {4}.*?$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<picture>!?)\[(?P<label>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the root's pages."""
    root = Path(config.config_file_path).parent
    for source, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, content=(root / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead the links of a page to where their targets are on the site."""
    source = page.file.src_uri
    in_checkout = _SITE_TO_ROOT.get(source, f"docs/{source}")
    known = {file.src_uri for file in files}

    def changed(match: re.Match[str]) -> str:
        path, sign, anchor = match["target"].partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return match[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(in_checkout), path))
        on_site = ROOT_PAGES.get(target, target.removeprefix("docs/"))
        if on_site in known:
            way = posixpath.relpath(on_site, posixpath.dirname(source) or ".")
            return f"{match['picture']}[{match['label']}]({way}{sign}{anchor})"
        root = Path(config.config_file_path).parent
        # What leads nowhere stays as it is: the strict build names it.
        return match["label"] if (root / target).exists() and not match["picture"] else match[0]

    pieces, end = [], 0
    for code in _CODE.finditer(markdown):
        pieces += [_LINK.sub(changed, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*pieces, _LINK.sub(changed, markdown[end:])])
