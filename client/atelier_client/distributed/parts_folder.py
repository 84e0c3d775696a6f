"""The parts that are done, a file each: a run that was stopped goes on from them.

Ray's own checkpoints hold the id of every row in memory; here it is one name for a part. A part that Ray ran twice
replaces its own file, so nothing counts twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atelier_client._files import read_bytes, write_bytes, write_text
from atelier_client.data.parts import PartsReader
from atelier_client.distributed.state import PartState

_PLAN = "plan.json"
_SUFFIX = ".part"
_SECONDS = struct.Struct("<d")


class PartsFolder:
    """The files of one run; `identity` is what makes two runs the same one."""

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Keep what a run of the same identity has left there; remove what another one has."""
        self._path = path
        self.left_by_another = False
        document = json.dumps(identity, indent=1)
        plan = path / _PLAN
        known = None
        with contextlib.suppress(OSError, UnicodeDecodeError):
            known = plan.read_text(encoding="utf-8")
        if known != document:
            self.left_by_another = known is not None
            self.remove()
            write_text(document, plan)

    def done(self) -> set[str]:
        """The keys of the parts that are there whole."""
        keys = {file.name.removesuffix(_SUFFIX) for file in self._path.glob(f"*{_SUFFIX}")}
        return {key for key in keys if self.get(key) is not None}

    def get(self, key: str) -> tuple[PartState, float] | None:
        """A part's counts, and the seconds that it added to its run; None when they cannot be read."""
        try:
            data = read_bytes(self._file(key))
            return PartState.unpacked(data[_SECONDS.size :]), _SECONDS.unpack_from(data)[0]
        except (OSError, ValueError, struct.error):
            return None

    def put(self, key: str, packed: bytes, seconds: float) -> None:
        """Keep a part's counts, in one step."""
        write_bytes(_SECONDS.pack(seconds) + packed, self._file(key))

    def remove(self) -> None:
        """Remove the files, and the folder when nothing else is in it."""
        for file in [*self._path.glob(f"*{_SUFFIX}"), self._path / _PLAN]:
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._path.rmdir()

    def _file(self, key: str) -> Path:
        return self._path / f"{key}{_SUFFIX}"


def files_of(reader: PartsReader) -> str:
    """A digest of the source's files as they stand: their paths, sizes and times of the last change."""
    digest = hashlib.sha256()
    for file in reader.files:
        state = file.stat()
        digest.update(f"{file.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()
