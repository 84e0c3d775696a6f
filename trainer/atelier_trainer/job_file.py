"""Job files: found by path or name, overridden from the command line, and explained when they are wrong."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from atelier_trainer.errors import JobError
from atelier_trainer.job import Job

# The most values that a job or study file may have with its aliases expanded; the shipped files have about 20.
LARGEST_DOCUMENT = 10_000
# An error shows this many characters of a wrong value.
SHOWN = 200


def shipped_jobs() -> Path:
    """The folder of shipped jobs: `jobs` here (the image), `trainer/jobs` (a checkout), or beside the package."""
    beside = Path(__file__).resolve().parent.parent / "jobs"
    return next((path for path in (Path("jobs"), Path("trainer/jobs")) if path.is_dir()), beside)


def load_job(name: str, overrides: Sequence[str] = ()) -> Job:
    """The job at a path, or the shipped job of that name. Its data paths start from the folder of its file.

    `overrides` are `section.key=value`, the value in YAML. Raises `JobError`.
    """
    path = find(name)
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise JobError(f"{path}: expected a mapping with the keys {', '.join(Job.model_fields)}.")
    for override in overrides:
        _override(document, override)
    try:
        return Job.from_document(document, path.resolve().parent)
    except ValidationError as error:
        found = "; ".join(dict.fromkeys(_explain(item) for item in error.errors()))
        where = f"{path} with {', '.join(overrides)}" if overrides else str(path)
        raise JobError(f"{where}: {found}") from None


def read_yaml(path: Path) -> Any:
    """The document of a YAML file. Raises `JobError`."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise JobError(f"{path}: not readable as YAML: {error}") from None


def parse_yaml(text: str) -> Any:
    """The document of a YAML text. Raises `yaml.YAMLError`, or `ValueError` when its aliases expand too far or a
    mapping has a key twice: PyYAML would take the last one and say nothing."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        # A few lines of aliases can expand to millions of nodes: the nodes are counted before they are expanded.
        if _expanded_size(node, {}) > LARGEST_DOCUMENT:
            raise ValueError(f"its aliases unfold to more than {LARGEST_DOCUMENT:,} values")
        _require_different_keys(loader, node, set())
        return loader.construct_document(node)
    except RecursionError:
        raise ValueError("it is nested too deeply, or an alias stands within itself") from None
    finally:
        loader.dispose()


def _expanded_size(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """The number of values in a node with every alias expanded. Raises `RecursionError` when it contains itself."""
    if node not in known:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        known[node] = 1 + sum(_expanded_size(child, known) for child in children)
    return known[node]


def _require_different_keys(loader: yaml.SafeLoader, node: yaml.Node, done: set[yaml.Node]) -> None:
    """Raises `ValueError` with the line of a mapping's second equal key. What `<<` merges may be overridden."""
    if node in done:
        return
    done.add(node)
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _require_different_keys(loader, item, done)
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            _require_different_keys(loader, value, done)
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            found = loader.construct_object(key)
            if found in seen:
                raise ValueError(f"line {key.start_mark.line + 1}: the key {key.value!r} is there twice")
            seen.add(found)


def find(name: str) -> Path:
    """The job file of a path or a shipped job's name. Raises `JobError` with the nearest name."""
    folder = shipped_jobs()
    for path in (Path(name), folder.parent / name, folder / f"{name}.yaml"):
        if path.is_file():
            return path
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    raise JobError(
        f"No job {name!r}: expected a YAML file or one of: {', '.join(known) or 'none shipped'}."
        + _nearest(Path(name).stem, known)
    )


def _override(document: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise JobError(f"--set {override}: expected KEY=VALUE, such as fit.epochs=3.")
    *sections, last = key.split(".")
    target: Any = document
    for section in sections:
        target = target.setdefault(section, {}) if isinstance(target, dict) else None
        if isinstance(target, str) and section == "data":
            document["data"] = target = {"name": target}
    if not isinstance(target, dict):
        raise JobError(f"--set {override}: {'.'.join(sections)} is not a section.")
    try:
        target[last] = parse_yaml(text)
    except (yaml.YAMLError, ValueError):
        raise JobError(f"--set {override}: {text!r} is not a YAML value.") from None


def _explain(item: Any) -> str:
    """One of pydantic's errors as a sentence with the key and the nearest valid key or value."""
    known_keys = [part for part in item["loc"] if not str(part).startswith(("literal[", "dict["))]
    where = [str(part) for part in known_keys]
    key = ".".join(str(part) for part in known_keys)
    if item["type"] == "extra_forbidden":
        known = _keys_at(where[:-1])
        return f"unknown key {key!r}." + (_nearest(where[-1], known) or f" Known: {', '.join(known)}.")
    if item["type"] == "missing":
        return f"the key {key!r} is missing"
    if item["type"] == "value_error":
        return f"{key + ': ' if key else ''}{item['ctx']['error']}"
    if item["type"] == "model_type":
        keys = ", ".join(_keys_at(where))
        return f"{key}: expected a mapping with the keys {keys}; got {repr(item['input'])[:SHOWN]}"
    near = ""
    if item["type"] == "literal_error":
        allowed = str(item["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        near = _nearest(str(item["input"]), allowed)
    return f"{key}: {item['msg']}, got {repr(item['input'])[:SHOWN]}{near}"


def _keys_at(where: list[str]) -> list[str]:
    section: type[BaseModel] = Job
    for part in where:
        annotation = section.model_fields[part].annotation
        kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        section = next((kind for kind in kinds if issubclass(kind, BaseModel)), section)
    return list(section.model_fields)


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {near[0]}?" if near else ""
