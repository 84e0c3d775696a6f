"""The memory that JSON documents take: unpacked bytes and parsed values, of all requests together.

A document of some kilobytes, compressed, may stand for gigabytes of values. So what is unpacked and parsed may have an
eighth of the memory that was free when the models were loaded (a container's limit counts), and 256 MB at most: what
needs more should come over gRPC. Large documents are read one at a time, and answers to them written so: reading and
writing need the interpreter all along, and two at a time would only make everybody else wait longer for it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from atelier_serving import memory
from atelier_serving.status import Code, ServingError

MOST_BYTES = 256 * 2**20
# After a document of this size or more, free memory goes back to the system.
_GIVE_BACK_BYTES = 8 * 2**20


class DocumentMemory:
    """The bytes held now. Thread-safe."""

    def __init__(self) -> None:
        self.budget = MOST_BYTES
        self._held = 0
        self._lock = threading.Lock()
        self.turn = threading.Lock()

    def start(self, free: int) -> None:
        """Documents may have an eighth of the `free` bytes, and `MOST_BYTES`."""
        self.budget = min(free // 8, MOST_BYTES)

    def take(self, size: int) -> bool:
        """Count bytes, or give them back; whether there is room for them."""
        with self._lock:
            if size > 0 and self._held + size > self.budget:
                return False
            self._held += size
            return True


class Reading:
    """One large document: what it holds, whose turn it is, and whether anybody still waits for the answer."""

    def __init__(self, shared: DocumentMemory) -> None:
        self._shared = shared
        self._held = 0
        self._most = 0
        self._has_turn = False
        self.client_has_gone = False

    def spend(self, size: int) -> None:
        """Count `size` bytes, negative when they are given back.

        Raises `ServingError`: RESOURCE_EXHAUSTED when there is no room for them, CANCELLED when the client has gone.
        """
        if self.client_has_gone:
            raise ServingError(Code.CANCELLED, "The client has gone.")
        if not self._shared.take(size):
            raise ServingError(
                Code.RESOURCE_EXHAUSTED,
                f"The document's values need more than the memory that is left for JSON: all documents together may "
                f"have {self._shared.budget} bytes. Send fewer rows at a time, or use gRPC.",
            )
        self._held += size
        self._most = max(self._most, self._held)

    def begin(self) -> None:
        """Wait for this document's turn."""
        if not self._has_turn:
            self._shared.turn.acquire()
            self._has_turn = True
        self.spend(0)

    def holds(self, size: int) -> None:
        """`size` bytes take the place of what was counted before, and others have their turn.

        Raises `ServingError` as `spend` does: both have been there at the same time.
        """
        self._release()
        before = self._held
        self.spend(size)
        self.spend(-before)

    def counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The answer's pieces, made when it is this document's turn. Raises `ServingError` as `spend` does."""
        self.begin()
        for piece in pieces:
            self.spend(len(piece))
            yield piece

    def _release(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._shared.turn.release()

    def end(self) -> None:
        """The request has been answered: free memory goes back to the system."""
        self._shared.take(-self._held)
        self._held = 0
        if self._most >= _GIVE_BACK_BYTES:
            memory.give_back()
        self._release()
