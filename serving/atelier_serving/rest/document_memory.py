"""Limits the memory of JSON documents: unpacked bytes and parsed values of all requests together.

A compressed document of some kilobytes may contain gigabytes of values. So all documents together may have an eighth
of the memory that was free when the models were loaded (a container's limit counts), and at most 256 MB. A large answer
to a small document counts, too. Larger requests should use gRPC. Only one large document is read at a time, and only
one answer to such a document is written at a time. Both need the interpreter all the time, so two at once would only
make all other requests wait longer.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable

from atelier_serving import memory
from atelier_serving.status import Code, ServingError

MOST_BYTES = 256 * 2**20
# After a document of this size or more, free memory is returned to the system.
_GIVE_BACK_BYTES = 8 * 2**20


class DocumentMemory:
    """Counts the bytes of all documents. Thread-safe."""

    def __init__(self) -> None:
        self.budget = MOST_BYTES
        self._held = 0
        self._lock = threading.Lock()
        self.turn = threading.Lock()

    def start(self, free: int) -> None:
        """Set the limit: an eighth of the `free` bytes, but at most `MOST_BYTES`."""
        self.budget = min(free // 8, MOST_BYTES)

    def take(self, size: int) -> bool:
        """Count `size` bytes; negative when they are given back. False when there is no room for them."""
        with self._lock:
            if size > 0 and self._held + size > self.budget:
                return False
            self._held += size
            return True


class LargeDocument:
    """One large document, or large answer: the bytes it has, its turn, and whether its client has gone."""

    def __init__(self, shared: DocumentMemory, takes_turns: bool = True) -> None:
        """Without `takes_turns` only the answer is large: its thread is one of all requests and must not wait."""
        self._shared = shared
        self._takes_turns = takes_turns
        self._held = 0
        self._most = 0
        self._has_turn = False
        self.client_has_gone = False

    def spend(self, size: int) -> None:
        """Count `size` bytes; negative when they are given back.

        Raises `ServingError`: RESOURCE_EXHAUSTED when there is no room for them, CANCELLED when the client has gone.
        """
        if self.client_has_gone:
            raise ServingError(Code.CANCELLED, "The client has gone.")
        if not self._shared.take(size):
            raise ServingError(
                Code.RESOURCE_EXHAUSTED,
                f"The values of the document or of its answer need more than the memory that is left for JSON: all "
                f"documents together may have {self._shared.budget} bytes. Send fewer rows at a time, or use gRPC.",
            )
        self._held += size
        self._most = max(self._most, self._held)

    def begin(self) -> None:
        """Wait for this document's turn."""
        if self._takes_turns and not self._has_turn:
            self._shared.turn.acquire()
            self._has_turn = True
        self.spend(0)

    def holds(self, size: int) -> None:
        """Count `size` bytes instead of those counted before, and end this document's turn.

        Raises `ServingError` as `spend` does.
        """
        self._release()
        self.spend(size - self._held)

    def gathered(self, pieces: Iterable[bytes]) -> bytes:
        """Make the answer of these pieces in this document's turn. Raises `ServingError` as `spend`."""
        self.begin()
        # Its buffer grows in place and is given away; joining a list would take the memory twice.
        answer = io.BytesIO()
        for piece in pieces:
            self.spend(len(piece))
            answer.write(piece)
        return answer.getvalue()

    def _release(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._shared.turn.release()

    def answered(self, size: int) -> None:
        """Count only the answer of `size` bytes from now on. After a large document, free memory goes to the system."""
        self._shared.take(min(size, self._held) - self._held)
        self._held = min(size, self._held)
        if self._most >= _GIVE_BACK_BYTES:
            memory.trim()
        self._release()

    def end(self) -> None:
        """The client has taken the answer, or has gone."""
        self.answered(0)
