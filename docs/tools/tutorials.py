"""`python -m docs.tools.tutorials FOLDER` executes docs/tutorial*.py, and writes notebooks and pages into FOLDER.

A tutorial is a notebook in jupytext's percent form. A cell with the tag `contract` holds what must be true after the
cells before it; it is executed with them and not shown on the page.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import MarkdownExporter
from nbformat import NotebookNode
from traitlets.config import Config

DOCS = Path(__file__).parents[1]
NAMES = ("tutorial", "tutorial_text", "tutorial_table")
CONTRACT = "contract"
CELL_SECONDS = 900
# A copy of the data on this machine spares the download.
COPIES = ("ATELIER_FASHION_MNIST", "ATELIER_IMDB")


def read(name: str) -> NotebookNode:
    """The notebook of docs/NAME.py, not executed."""
    notebook: NotebookNode = jupytext.read(DOCS / f"{name}.py")
    return notebook


def execute(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Execute all cells in `folder`, contracts too. Raises nbclient's `CellExecutionError` at the first that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    # The commands are those of this environment, and write for a page, not for a terminal.
    before = dict(os.environ)
    groups: list[int] = []

    def remember(notebook: NotebookNode) -> None:
        kernel: Any = client.km
        groups.append(kernel.provisioner.pgid)

    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # A tutorial has a service of its own: what is set for another one does not reach its commands.
    for name in [name for name in before if name.startswith("ATELIER_") and name not in COPIES]:
        del os.environ[name]
    # A kernel asks for colours (FORCE_COLOR).
    os.environ.update(COLUMNS="110", NO_COLOR="1", TTY_COMPATIBLE="0")
    try:
        with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
            # Over TCP every user of the machine could listen, of which the kernel warns.
            channels = Config(KernelManager=Config(transport="ipc", ip=f"{sockets}/kernel"))
            client = NotebookClient(
                notebook,
                kernel_name="python3",
                config=channels,
                timeout=CELL_SECONDS,
                resources={"metadata": {"path": str(folder)}},
                coalesce_streams=True,
                on_notebook_start=remember,
            )
            return client.execute()
    finally:
        for group in groups:
            # The kernel may have been killed before it ended what was started beside it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)
        os.environ.clear()
        os.environ.update(before)


def page_of(executed: Path, name: str) -> dict[str, bytes]:
    """The same of a written NAME.ipynb."""
    return page(nbformat.read(executed, as_version=4), name)


def page(notebook: NotebookNode, name: str) -> dict[str, bytes]:
    """The page NAME.md without its contracts, NAME.ipynb with them, and the pictures: paths and contents."""
    hidden = Config()
    hidden.TagRemovePreprocessor.enabled = True
    hidden.TagRemovePreprocessor.remove_cell_tags = {CONTRACT}
    names = {"unique_key": name, "output_files_dir": f"{name}_files"}
    text, resources = MarkdownExporter(config=hidden).from_notebook_node(notebook, names)
    text = text.replace("```bash\n%%bash\n", "```bash\n").replace("![png](", "![What the cell above draws](")
    files = {f"{name}.md": text.encode(), f"{name}.ipynb": nbformat.writes(notebook).encode()}
    files.update(resources.get("outputs", {}))
    return files


def write(notebook: NotebookNode, name: str, folder: Path) -> None:
    """Write the page, the notebook and the pictures into `folder`."""
    for path, content in page(notebook, name).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def main(folder: Path) -> int:
    """Execute and write every tutorial; return the exit code. The one with film reviews is left out without them."""
    for name in NAMES:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f"{name}-") as work:
            if name == "tutorial_text" and not _has_reviews(Path(work)):
                print(f"{name}: not executed, as the reviews cannot be had (above).", file=sys.stderr)
                continue
            try:
                notebook = execute(read(name), Path(work))
            except CellExecutionError as error:
                print(f"error: docs/{name}.py: {error}", file=sys.stderr)
                return 1
        write(notebook, name, folder)
        print(f"{name}: executed in {time.monotonic() - began:.0f} s", flush=True)
    return 0


def _has_reviews(work: Path) -> bool:
    command = [str(Path(sys.executable).with_name("atelier-trainer")), "data", "fetch", "imdb"]
    return subprocess.run(command, cwd=work, stdout=subprocess.DEVNULL, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
