"""Who may import whom: components share no code, and nothing but tests imports tests."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Folder, and what its modules may import of this repository.
ALLOWED = {
    "trainer/atelier_trainer": {"atelier_trainer"},
    "serving/atelier_serving": {"atelier_serving"},
    "client/atelier_client": {"atelier_client"},
    "console/atelier_console": {"atelier_console", "atelier_client"},
    "stack": {"stack"},
    "benchmarks": {"benchmarks", "atelier_client"},
    "examples": {"atelier_client"},
    "deploy": {"deploy"},
}
OURS = {
    "atelier_trainer",
    "atelier_serving",
    "atelier_client",
    "atelier_console",
    "stack",
    "benchmarks",
    "examples",
    "deploy",
    "tests",
}


def imported(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each module of a folder with the first name of everything that it imports, inside functions too."""
    for module in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((module, name.name.partition(".")[0]) for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield module, node.module.partition(".")[0]


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports_stay_inside_the_component(folder: str) -> None:
    found = list(imported(ROOT / folder))
    assert found
    wrong = [
        f"{module.relative_to(ROOT)} imports {name}"
        for module, name in found
        if name in OURS - ALLOWED[folder]
    ]
    assert not wrong


def test_every_folder_with_tests_is_run() -> None:
    """pyproject.toml names them one by one, for their order: one that is left out would never run."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = settings["tool"]["pytest"]["ini_options"]["testpaths"]
    assert sorted(named) == sorted({f"tests/{path.parent.name}" for path in ROOT.glob("tests/*/test_*.py")})
