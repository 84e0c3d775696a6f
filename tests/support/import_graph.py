"""The import graph of a package, read from its source: cycles, widths of folders, arrows between rooms.

A room is a folder of the package. An arrow is an import from a module to a module of another room. The package's own
folder holds entry points and what every room uses: arrows lead out of it, and imports of what stands in it are none.
Imports inside functions and under `if TYPE_CHECKING:` count like all others.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Graph = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class ImportGraph:
    """Modules by dotted name (`package.room.module`; `package.room` is an `__init__.py`), and what each imports."""

    folder: Path
    files: Mapping[str, Path]
    imports: Graph

    @classmethod
    def read(cls, folder: Path, generated: str = "*_pb2.py") -> ImportGraph:
        """Read every module under the package's `folder`; files like `generated` are left out."""
        files = {
            _dotted(folder, path): path for path in sorted(folder.rglob("*.py")) if not path.match(generated)
        }
        imports = {name: frozenset(_imported(name, path, files)) - {name} for name, path in files.items()}
        return cls(folder, files, imports)

    def module_cycles(self) -> list[list[str]]:
        """Modules that import each other, whatever the way round."""
        return cycles(self.imports)

    def room_cycles(self) -> list[list[str]]:
        """Rooms that import each other, whatever the way round.

        The package's own folder is left out: entry points, which know every room, stand there beside what every room
        uses.
        """
        rooms: dict[str, set[str]] = {}
        for source, target in self.arrows():
            if self.room(source) != self.folder.name:
                rooms.setdefault(self.room(source), set()).add(self.room(target))
        return cycles({room: frozenset(targets) for room, targets in rooms.items()})

    def arrows(self) -> list[tuple[str, str]]:
        """The imports that lead from one room into another; what stands in the package's own folder is every room's."""
        return [
            (source, target)
            for source, targets in self.imports.items()
            for target in sorted(targets)
            if self.room(target) not in (self.room(source), self.folder.name)
        ]

    def room(self, module: str) -> str:
        """The folder that a module stands in, by its dotted name."""
        return module if self.files[module].name == "__init__.py" else module.rpartition(".")[0]

    def widths(self) -> dict[str, int]:
        """Room to its number of modules."""
        return Counter(self.room(name) for name, path in self.files.items() if path.name != "__init__.py")

    def without_purpose(self) -> list[str]:
        """The rooms whose `__init__.py` is missing or does not say in one sentence what the room is for."""
        rooms = {self.room(name) for name in self.files}
        return sorted(room for room in rooms if not _one_sentence(self.files.get(room)))


def cycles(graph: Graph) -> list[list[str]]:
    """The strongly connected components of more than one node (Tarjan, 1972), each sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in graph.get(node, frozenset()):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                found.append(sorted(component))

    for node in graph:
        if node not in index:
            visit(node)
    return found


def _dotted(folder: Path, path: Path) -> str:
    parts = path.relative_to(folder.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(name: str, path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from _known((alias.name for alias in node.names), files)
        elif isinstance(node, ast.ImportFrom):
            parent = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
            base = node.module or "" if not node.level else ".".join(filter(None, (parent, node.module)))
            for alias in node.names:
                full = f"{base}.{alias.name}"
                # `from package import module` imports the module; any other name, the module it stands in.
                yield from _known([full if full in files else base], files)


def _known(names: Iterable[str], files: Mapping[str, Path]) -> Iterator[str]:
    return (name for name in names if name in files)


def _one_sentence(path: Path | None) -> bool:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path else None
    if not text:
        return False
    first = " ".join(text.split("\n\n")[0].split())
    return first.endswith(".") and ". " not in first
