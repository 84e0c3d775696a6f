"""MkDocs hooks: the pages at the checkout's root become pages of the site, and links fit both places.

In the repository a page links to others by paths in the checkout. On the site the root's pages have names of their
own, and what is no page (code, examples, the licence) is not there: such a link becomes plain text.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.tools import tutorials

# The checkout's pages outside docs/, and what they are called on the site.
ROOT_PAGES = {
    "README.md": "make.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    "CHANGELOG.md": "changelog.md",
}
_SITE_TO_ROOT = {page: source for source, page in ROOT_PAGES.items()}
# Where `make site` and the tests put the executed tutorials.
_EXECUTED = "ATELIER_TUTORIALS"
_NOT_EXECUTED = "!!! note\n    Not executed when this site was built: it has no outputs.\n\n"
_CODE = re.compile(r"^```.*?^```|^ {4}.*?$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<picture>!?)\[(?P<label>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the root's pages and the tutorials."""
    root = Path(config.config_file_path).parent
    for source, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, content=(root / source).read_text(encoding="utf-8")))
    for name in tutorials.NAMES:
        for path, content in _tutorial(name).items():
            files.append(File.generated(config, path, content=content))
    return files


def _tutorial(name: str) -> dict[str, bytes]:
    """The files of a tutorial, executed where that was done."""
    executed = Path(os.environ.get(_EXECUTED, "/dev/null"), f"{name}.ipynb")
    if executed.exists():
        return tutorials.page_of(executed, name)
    files = tutorials.page(tutorials.read(name), name)
    title, line, rest = files[f"{name}.md"].partition(b"\n")
    return files | {f"{name}.md": b"".join([title, line, b"\n", _NOT_EXECUTED.encode(), rest])}


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
        if on_site.removesuffix(".py") in tutorials.NAMES:
            on_site = on_site.removesuffix(".py") + ".md"
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
