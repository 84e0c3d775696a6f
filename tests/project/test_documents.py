"""What the contributors' pages name is there: files, folders, classes, links, make targets."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ("trainer", "serving", "client", "console")
# Pages, and where the paths in their text may start from besides the checkout.
PAGES = {
    "CONTRIBUTING.md": [ROOT],
    "docs/architecture.md": [ROOT, ROOT / "docs", *(ROOT / name / f"atelier_{name}" for name in COMPONENTS)],
}
DOCUMENTS = sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
_PATH = re.compile(
    r"(?<![\w./])[\w.-]+(?:/[\w.-]+)*(?:\.(?:py|md|yaml|json|toml|proto|j2|in|lock)\b|/(?=[`, )\]]))"
)
# Made by commands, or of models and runs: they are not in the checkout.
_ELSEWHERE = {f".{name}.lock" for name in ("publish", "release", "models.config", "rollouts", "traffic")}


@cache
def classes() -> frozenset[str]:
    """Every class that the components define."""
    return frozenset(
        node.name
        for name in COMPONENTS
        for module in (ROOT / name).rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )


def read(page: str) -> str:
    """A page's text without the addresses of its links."""
    return re.sub(r"\]\([^)]*\)", "]", (ROOT / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES)
def test_each_path_that_is_named_exists(page: str) -> None:
    named = set(_PATH.findall(read(page))) - _ELSEWHERE
    assert len(named) > 20
    missing = [name for name in sorted(named) if not any((folder / name).exists() for folder in PAGES[page])]
    assert not missing


def test_each_class_that_the_architecture_names_exists() -> None:
    named = set(re.findall(r"`([A-Z][a-z]\w+)`", read("docs/architecture.md")))
    assert len(named) > 10
    assert sorted(named - classes()) == []


@pytest.mark.parametrize("page", DOCUMENTS)
def test_each_link_within_the_checkout_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [
        target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target
    ]
    missing = [target for target in targets if target and not ((ROOT / page).parent / target).exists()]
    assert not missing


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings where the repository is read: letters, digits, hyphens for spaces."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", DOCUMENTS)
def test_each_anchor_is_that_of_a_heading(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for path, anchor in re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", text):
        target = (ROOT / page).parent / path if path else ROOT / page
        assert anchor in anchors(target), f"{path}#{anchor}"


@pytest.mark.parametrize("page", DOCUMENTS)
def test_each_make_target_that_is_named_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(
        re.findall(r"(?:`|^    )make ([a-z]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert named <= targets


def test_changelog_has_unreleased_and_the_present_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[([^\]]+)\]", text, re.MULTILINE)
    assert headings[0] == "Unreleased"
    source = (ROOT / "client" / "atelier_client" / "__init__.py").read_text(encoding="utf-8")
    [version] = re.findall(r'^__version__ = "(.+)"', source, re.MULTILINE)
    assert headings[1] == version
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)", text, re.MULTILINE)) <= kinds
    for heading in headings:
        assert f"\n[{heading}]: " in text
