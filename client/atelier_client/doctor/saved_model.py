"""Checks of a version's folder: whether the SavedModel is complete, and which TensorFlow wrote it."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from atelier_client._files import read_bytes
from atelier_client.doctor.checkpoint import damaged, needed_bytes, read_index
from atelier_client.doctor.wire_format import nested

_SHARD = re.compile(r"variables\.data-(\d{5})-of-(\d{5})")
# Field numbers of tensorflow/core/protobuf/saved_model.proto and meta_graph.proto.
_META_GRAPHS = 2
_META_INFO = 1
_TENSORFLOW_VERSION = 5
_SIGNATURES = 5
_TAGS = 4
# A graph with variables has this operation; then the version needs a variables folder.
_VARIABLE_OP = b"VarHandleOp"


@dataclass(frozen=True)
class SavedModel:
    """The TensorFlow version that wrote it, its signatures, and sentences about what is missing or cut short."""

    tensorflow: str | None
    signatures: tuple[str, ...]
    faults: tuple[str, ...]


def read_saved_model(folder: Path) -> SavedModel:
    """Read `<folder>/saved_model.pb` and check its variables."""
    path = folder / "saved_model.pb"
    if not path.exists():
        names = sorted(item.name for item in folder.iterdir() if not item.name.startswith("."))
        if (folder / "saved_model.pbtxt").exists():
            return SavedModel(None, (), ())
        held = f"it holds {', '.join(names[:5])}" if names else "it is empty"
        return SavedModel(None, (), (f"saved_model.pb is missing ({held})",))
    data = read_bytes(path)
    if not data:
        return SavedModel(None, (), ("saved_model.pb is empty",))
    try:
        versions = list(nested(data, _META_GRAPHS, _META_INFO, _TENSORFLOW_VERSION))
        tags = {tag.decode(errors="replace") for tag in nested(data, _META_GRAPHS, _META_INFO, _TAGS)}
        signatures = [name.decode(errors="replace") for name in nested(data, _META_GRAPHS, _SIGNATURES, 1)]
    except ValueError as problem:
        return SavedModel(None, (), (f"saved_model.pb is cut short or damaged ({problem})",))
    faults = _variables(folder / "variables", _VARIABLE_OP in data)
    if not versions:
        faults.append("saved_model.pb holds no graph")
    elif "serve" not in tags:
        faults.append(f"no graph has the tag `serve` (tags: {', '.join(sorted(tags)) or 'none'})")
    public = tuple(sorted(name for name in signatures if not name.startswith("__")))
    version = versions[0].decode(errors="replace") if versions else None
    return SavedModel(version, public, tuple(faults))


def _variables(folder: Path, expected: bool) -> list[str]:
    names = {item.name for item in folder.iterdir()} if folder.is_dir() else set()
    shards = {int(match[1]): int(match[2]) for name in names if (match := _SHARD.fullmatch(name))}
    if not names:
        return ["the model has variables, but variables/ is missing or empty"] if expected else []
    if "variables.index" not in names:
        return ["variables/variables.index is missing"]
    try:
        tensors = read_index(folder / "variables.index")
    except (ValueError, IndexError, struct.error) as problem:
        return [f"variables/variables.index is cut short or damaged ({problem})"]
    needed = needed_bytes(tensors)
    count = max([*shards.values(), *(shard + 1 for shard in needed)], default=0)
    faults = []
    for shard, size in sorted(needed.items()):
        name = f"variables.data-{shard:05}-of-{count:05}"
        if not (folder / name).is_file():
            faults.append(f"variables/{name} is missing")
            continue
        got = (folder / name).stat().st_size
        if got < size:
            faults.append(f"variables/{name} has {got:,} of {size:,} bytes")
        elif wrong := damaged(tensors, shard, folder / name):
            faults.append(
                f"variables/{name} is damaged: the bytes of {wrong} have another checksum than was written"
            )
    return faults
