"""A version's model card, and the golden examples beside it (docs/contracts.md, section 1)."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tokenize import TokenError
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from atelier_client._files import read_bytes, require_file
from atelier_client._layout import CLASSIFICATIONS, TASKS, Kind, LabelKind, Layout, Task
from atelier_client.errors import DataError

_AGAIN = "Publish the version again, or take the file away."
_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
# 16 examples of a few megabytes each.
_MOST_GOLDEN = 1 << 28
_WORDS: dict[type, str] = {dict: "an object", list: "a list", str: "a text", int: "a number"}


@dataclass(frozen=True)
class ModelCard:
    """What the client needs of a card: what the model answers, where the test examples are, how the trainer found it.

    `layout` describes the user's files, as in training; `test_file` has `format` and `path` (under the data folder),
    `labels` ("names", "numbers" or "values") and maybe `sha256`, and is empty without test examples; `metrics` are the
    trainer's, for the test examples; `document` is the whole card. `task` and `output` (the one that is measured) are
    None where the card does not say.
    """

    class_names: tuple[str, ...]
    data: str
    layout: Layout
    test_file: Mapping[str, str]
    metrics: Mapping[str, float]
    document: Mapping[str, Any]
    task: Task | None = "classification"
    output: str | None = None

    @property
    def label_kind(self) -> LabelKind:
        """What stands for labels in the test file; those of older cards hold class numbers."""
        known: dict[str | None, LabelKind] = {"names": "names", "values": "values"}
        return known.get(self.test_file.get("labels"), "numbers")

    @property
    def test_sha256(self) -> str | None:
        """The digest of the test file at training. None when an older card does not have it."""
        known = self.test_file.get("sha256")
        if known is None and self.test_file.get("format") == "idx":
            known = self.document["data"]["test"].get("sha256")
        return known if isinstance(known, str) else None

    @property
    def test_layout(self) -> Layout:
        """The layout of the test file, which the trainer writes in the plain dialect."""
        wide = self.layout
        return Layout(
            wide.kind,
            wide.shape,
            # An .npz has the arrays `images` and `labels`.
            "labels" if self.test_file.get("format") == "npz" else self.test_file.get("label", "label"),
            "text",
            wide.columns,
            kinds=wide.kinds,
            missing=("",) if wide.kinds else (),
            whole_pixels=wide.whole_pixels,
        )


@dataclass(frozen=True)
class Golden:
    """A few inputs, and what the trainer computed for them."""

    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, NDArray[Any]]


def card_path(version_folder: Path) -> Path:
    """Where the card of a version is."""
    return version_folder / "assets.extra" / "model_card.json"


def read_card(version_folder: Path) -> ModelCard | None:
    """The card of a version, or None when there is none that this user can read.

    Raises `DataError` for a damaged card; the error names the file, and the line and column or the key.
    """
    path = card_path(version_folder)
    try:
        card = json.loads(read_bytes(path).decode("utf-8"))
    except OSError:
        return None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is damaged: byte {error.start + 1} is no UTF-8. {_AGAIN}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"{path} is damaged: {place}: {error.msg}. {_AGAIN}") from None
    except RecursionError:
        raise DataError(f"{path} is damaged: its values are nested too deeply. {_AGAIN}") from None
    without = _value(path, card, "data.test", dict).get("file", 0) is None
    test_file = {} if without else _value(path, card, "data.test.file", dict)
    for name in () if without else ("format", "path"):
        _value(path, card, f"data.test.file.{name}", str)
    for name in ("label", "labels", "sha256"):
        if name in test_file:
            _value(path, card, f"data.test.file.{name}", str)
    if test_file.get("labels") not in (None, "names", "numbers", "values"):
        got = json.dumps(test_file["labels"])[:60]
        raise DataError(
            f'{path} is damaged: the key data.test.file.labels: expected "names", "numbers" or "values", got {got}. '
            f"{_AGAIN}"
        )
    inside = PurePosixPath(test_file.get("path", ""))
    if inside.is_absolute() or ".." in inside.parts or "\0" in str(inside):
        got = json.dumps(test_file["path"])[:60]
        raise DataError(
            f"{path} is damaged: the key data.test.file.path: expected a path inside the data folder, got {got}. "
            f"{_AGAIN}"
        )
    metrics = _value(path, card, "metrics.test", dict)
    for name in metrics:
        _value(path, metrics, name, (int, float), "metrics.test.")
    return ModelCard(
        _texts(path, card, "class_names"),
        _value(path, card, "data.name", str),
        _layout(path, card),
        test_file,
        metrics,
        card,
        _task(path, card),
        _value(path, card, "output", str) if card.get("output") is not None else None,
    )


def _task(path: Path, card: Any) -> Task | None:
    """The card's task; None where it is null, as of an imported model of which nobody said it."""
    given = card.get("task")
    if given in CLASSIFICATIONS:
        return None if given is None and "task" in card else "classification"
    if given not in TASKS:
        got = json.dumps(given)[:60]
        raise DataError(
            f"{path} is damaged: the key task: expected one of {', '.join(TASKS)}, got {got}. {_AGAIN}"
        )
    return cast(Task, given)


def _layout(path: Path, card: Any) -> Layout:
    """What the card's `input` says about a file's columns. Older cards have the label column in their `job`."""
    given = _value(path, card, "input", dict)
    for key in ("label", "text", "separator", "decimal", "encoding"):
        if given.get(key) is not None:
            value = _value(path, card, f"input.{key}", str)
            if key in ("separator", "decimal") and len(value) != 1:
                got = json.dumps(value)[:60]
                raise DataError(
                    f"{path} is damaged: the key input.{key}: expected one character, got {got}. {_AGAIN}"
                )
    kinds = _value(path, card, "input.kinds", dict) if given.get("kinds") else {}
    sizes = given.get("shape")
    shape = sizes if isinstance(sizes, list) and all(isinstance(size, int) for size in sizes) else ()
    # An imported model's arrays are of none of the kinds.
    kind: Kind | None = _value(path, card, "input.kind", str) if given.get("kind", "") is not None else None
    return Layout(
        kind,
        tuple(shape),
        given.get("label") or _of_job(card, "label"),
        given.get("text") or _of_job(card, "text"),
        _texts(path, card, "input.columns"),
        given.get("separator") or ",",
        given.get("decimal") or ".",
        given.get("encoding") or "utf-8",
        _texts(path, card, "input.missing") if given.get("missing") else (),
        {str(name): str(value) for name, value in kinds.items()},
        given.get("pixels") == "0..255",
    )


def _of_job(card: Any, key: str) -> str | None:
    job = card.get("job")
    data = job.get("data") if isinstance(job, dict) else None
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, str) else None


def read_golden(version_folder: Path) -> Golden | None:
    """The golden examples beside a version, or None when it has none. Raises `DataError` for a damaged file."""
    path = version_folder / "assets.extra" / "golden.npz"
    require_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            for member in archive.infolist():
                _check_size(archive, member, unpacked)
        with np.load(path, allow_pickle=False) as arrays:
            named = {name: arrays[name] for name in arrays.files}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged: {error}.") from None
    sides = {
        side: {name.removeprefix(side): array for name, array in named.items() if name.startswith(side)}
        for side in ("inputs/", "outputs/")
    }
    rows = {
        len(array) if isinstance(array, np.ndarray) and array.ndim else -1
        for array in sides["inputs/"].values()
    }
    if len(rows) != 1 or not rows.isdisjoint((-1, 0)):
        raise DataError(f"{path} is damaged: expected arrays inputs/NAME of equally many rows, and not none.")
    return Golden(sides["inputs/"], sides["outputs/"])


def _check_size(archive: zipfile.ZipFile, member: zipfile.ZipInfo, unpacked: int) -> None:
    """Raises `ValueError` when the file, or an array by its header, is larger than a few examples can be."""
    if unpacked > _MOST_GOLDEN:
        raise ValueError(f"it unpacks to {unpacked:,} bytes, which no few examples have")
    with archive.open(member) as handle:
        version = np.lib.format.read_magic(handle)
        header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = header(handle)
    if math.prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(
            f"{member.filename} promises the shape {list(shape)} and has {member.file_size:,} bytes"
        )


def _value(path: Path, card: Any, key: str, kind: type | tuple[type, ...], within: str = "") -> Any:
    """The value of a key such as `data.test.file`. Raises `DataError`."""
    value = card
    parts = [key] if within else key.split(".")
    for number, part in enumerate(parts):
        if not isinstance(value, dict) or part not in value:
            missing = within + ".".join(parts[: number + 1])
            raise DataError(f"{path} is damaged: the key {missing} is missing. {_AGAIN}")
        value = value[part]
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = _WORDS[kind[0] if isinstance(kind, tuple) else kind]
        got = json.dumps(value)[:60]
        raise DataError(f"{path} is damaged: the key {within}{key}: expected {wanted}, got {got}. {_AGAIN}")
    return value


def _texts(path: Path, card: Any, key: str) -> tuple[str, ...]:
    texts = _value(path, card, key, list)
    for number, text in enumerate(texts):
        if not isinstance(text, (str, int, float)) or isinstance(text, bool):
            got = json.dumps(text)[:60]
            raise DataError(
                f"{path} is damaged: the key {key}[{number}]: expected a text, got {got}. {_AGAIN}"
            )
    return tuple(str(text) for text in texts)
