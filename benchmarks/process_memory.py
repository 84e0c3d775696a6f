"""The most memory that a process and those it has started have held, read from /proc while they run."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path

_PAUSE_SECONDS = 0.5


class Peaks:
    """By process id: the command line, and the most bytes resident (VmHWM) that were seen."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[str, int]] = {}

    def largest_mb(self, pattern: str) -> float:
        """That of the process with the most, of those whose command line the pattern fits; MB, as 2**20 bytes."""
        return (
            max((held for line, held in self._seen.values() if re.search(pattern, line)), default=0) / 2**20
        )

    def look(self, pid: int) -> None:
        """Note what the process and those under it hold."""
        parents: dict[int, int] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            # A process may end meanwhile.
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        level = {pid}
        while level:
            for one in level:
                with contextlib.suppress(OSError):
                    status = Path(f"/proc/{one}/status").read_text()
                    line = Path(f"/proc/{one}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                    # One that has ended has no memory.
                    if held := re.search(r"VmHWM:\s+(\d+) kB", status):
                        self._seen[one] = line, int(held[1]) * 1024
            level = {child for child, parent in parents.items() if parent in level}


@contextlib.contextmanager
def watched(pid: int) -> Iterator[Peaks]:
    """Look at a process again and again until the block ends."""
    peaks, ended = Peaks(), threading.Event()

    def look() -> None:
        while not ended.wait(_PAUSE_SECONDS):
            peaks.look(pid)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()
