"""What is copied to a second version, and how much of it is held at a time. The two shells send the copies."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from atelier_client.errors import SettingsError
from atelier_client.responses import Prediction
from atelier_client.retry import Retry
from atelier_client.routing.mirror_record import MirrorRecord
from atelier_client.routing.snapshot import size_of, snapshot

# Copies that wait or are under way: more of them, or of their bytes, are dropped.
MOST_COPIES = 100
MOST_BYTES = 64_000_000
IN_FLIGHT = 4
# A copy is given up after so many seconds, and closing waits so long for all of them.
TIMEOUT = 10.0
CLOSE_SECONDS = 5.0
# A copy that fails is counted. Sending it again would be load that no caller asked for.
ONCE = Retry(attempts=1)


@dataclass(frozen=True)
class Copy:
    """A request that was answered, and the answer."""

    inputs: Any
    settings: dict[str, Any]
    answer: Prediction
    size: int


class Mirror:
    """Takes copies of what `fallback` answered, and compares the answers of `label`. Thread-safe.

    Its lock is held to count, never while anything is copied, sent or compared.
    """

    def __init__(self, label: str, fallback: str) -> None:
        if not isinstance(label, str) or not label:
            raise SettingsError(f"mirror is the name of a label, not {label!r}.")
        if label == fallback:
            raise SettingsError(f"mirror is another label than {fallback!r}, which answers.")
        self.label = label
        self.record = MirrorRecord()
        self._fallback = fallback
        self._held = self._bytes = self._copied = self._dropped = self._unfinished = 0
        self._closed = False
        self._lock = threading.Lock()

    def take(
        self,
        inputs: Any,
        signature: str,
        outputs: Sequence[str],
        rows_per_request: int | None,
        answer: Prediction,
    ) -> Copy | None:
        """A copy to send; None when there is no room for it, or it cannot be made, which is counted."""
        total = size_of(inputs) + size_of(answer)
        with self._lock:
            if self._closed or self._held >= MOST_COPIES or self._bytes + total > MOST_BYTES:
                self._dropped += 1
                return None
            self._held += 1
            self._bytes += total
            self._copied += 1
        settings = {"signature": signature, "outputs": outputs, "rows_per_request": rows_per_request}
        try:
            kept = Prediction(snapshot(answer))
            kept.versions, kept.seconds = answer.versions, answer.seconds
            return Copy(snapshot(inputs), settings | {"label": self.label}, kept, total)
        except Exception as error:
            # No memory, or inputs that can be read once only: the caller has its answer all the same.
            self.fail(error)
            self.release(total)
            return None

    def compare(self, copy: Copy, answer: Prediction) -> None:
        """Count the answer to a copy."""
        if not self.given_up:
            self.record.add(copy.inputs, copy.answer, answer)

    def fail(self, error: Exception) -> None:
        """Count a copy that was not answered."""
        if not self.given_up:
            self.record.fail(error)

    def release(self, size: int) -> None:
        """A copy of that size is done with."""
        with self._lock:
            self._held -= 1
            self._bytes -= size

    def close(self) -> None:
        """Take no more copies."""
        with self._lock:
            self._closed = True

    def give_up(self) -> None:
        """What is still held counts as unfinished."""
        with self._lock:
            self._unfinished = self._held

    @property
    def given_up(self) -> bool:
        """True when nothing more is to be sent."""
        return self._unfinished > 0

    def report(self) -> dict[str, Any]:
        """What was copied and seen, as plain data."""
        seen = self.record.report()
        with self._lock:
            counts = {"copied": self._copied, "dropped": self._dropped, "unfinished": self._unfinished}
        return {
            "fallback": self._fallback,
            "mirror": self.label,
            **seen,
            "requests": counts | seen["requests"],
        }
