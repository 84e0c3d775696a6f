"""The tutorials: executed cell by cell with their contracts, and the site that is built from what came out."""

from __future__ import annotations

import re
import struct
import time
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from docs.tools import tutorials
from tests.support.site import ROOT, build
from tests.support.trainer_command import trainer

SECTIONS = [
    "Set up",
    "Prepare the data",
    "Build the model",
    "Train",
    "Overfitting and underfitting",
    "Evaluate",
    "Save and restore",
    "Serve",
    "Ask",
    "Release",
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the executed tutorials are written, for the site."""
    return tmp_path_factory.mktemp("tutorials")


def is_contract(cell: NotebookNode) -> bool:
    return tutorials.CONTRACT in cell.metadata.get("tags", ())


@pytest.mark.parametrize("name", tutorials.NAMES)
def test_it_has_the_sections_of_a_guide(name: str) -> None:
    text = "\n".join(cell.source for cell in tutorials.read(name).cells if cell.cell_type == "markdown")
    assert re.findall(r"^## (.+)", text, re.MULTILINE) == SECTIONS


@pytest.mark.parametrize("name", tutorials.NAMES)
def test_each_cell_is_held_to_a_contract(name: str) -> None:
    """The contract stands before the next text."""
    cells = tutorials.read(name).cells
    waiting = False
    for cell in cells:
        if cell.cell_type == "markdown":
            assert not waiting, cell.source
        else:
            waiting = not is_contract(cell)
            assert waiting or "assert " in cell.source
    assert not waiting
    assert sum(map(is_contract, cells)) >= 10


@pytest.mark.parametrize("name", tutorials.NAMES)
def test_it_names_no_place_of_a_machine(name: str) -> None:
    source = (tutorials.DOCS / f"{name}.py").read_text(encoding="utf-8")
    assert re.findall(r"[\"' =](?:/[a-z]+){2,}|:8500|:8501|/home/|~/", source) == []


def is_running(pid: str) -> bool:
    """False too for a process that has ended and that nobody has waited for."""
    try:
        return Path("/proc", pid, "cmdline").read_bytes() != b""
    except OSError:
        return False


# Started beside a notebook as the tutorials start their servers.
BESIDE = """
import atexit, os, pathlib, subprocess
beside = subprocess.Popen(["sleep", "600"])
atexit.register(beside.terminate)
pathlib.Path("pids").write_text(f"{os.getpid()} {beside.pid}")
"""


def test_a_contract_that_is_broken_stops_the_tutorial_and_leaves_nothing(tmp_path: Path) -> None:
    contract = nbformat.v4.new_code_cell("assert beside is None", metadata={"tags": [tutorials.CONTRACT]})
    cells = [nbformat.v4.new_code_cell(BESIDE), contract, nbformat.v4.new_code_cell("found = 3")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    with pytest.raises(CellExecutionError, match="assert beside is None"):
        tutorials.execute(notebook, tmp_path)
    assert notebook.cells[2].execution_count is None
    deadline = time.monotonic() + 20
    while left := [pid for pid in (tmp_path / "pids").read_text().split() if is_running(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", tutorials.NAMES)
def test_it_is_executed(name: str, written: Path, tmp_path: Path) -> None:
    if name == "tutorial_text":
        fetched = trainer("data", "fetch", "imdb", cwd=tmp_path)
        if fetched.returncode:
            pytest.skip(f"this machine reaches no source of the reviews: {fetched.stderr.strip()}")
    notebook = tutorials.execute(tutorials.read(name), tmp_path)
    nbformat.validate(notebook)
    tutorials.write(notebook, name, written)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    page = (written / f"{name}.md").read_text(encoding="utf-8")
    assert "\nassert " not in page
    assert str(tmp_path) not in page
    assert "Traceback" not in page
    pictures = sorted((written / f"{name}_files").glob("*.png"))
    assert len(pictures) == page.count("![What the cell above draws](") >= 1
    for picture in pictures:
        width, height = struct.unpack(">II", picture.read_bytes()[16:24])
        assert width > 300
        assert height > 200


def test_the_site_is_built_from_what_was_executed(written: Path, tmp_path: Path) -> None:
    done = build(ROOT / "mkdocs.yml", tmp_path, ATELIER_TUTORIALS=str(written))
    assert done.returncode == 0, done.stderr
    executed = [name for name in tutorials.NAMES if (written / f"{name}.ipynb").exists()]
    assert {"tutorial", "tutorial_table"} <= set(executed)
    for name in executed:
        page = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
        assert "Not executed" not in page
        assert "accuracy" in page
        assert (tmp_path / f"{name}.ipynb").exists()
        for picture in re.findall(rf'src="({name}_files/[^"]+)"', page):
            assert (tmp_path / picture).exists()
