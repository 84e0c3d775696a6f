"""What is said once: by the process that plans, not again by each actor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Said:
    """Says texts; a copy in another process says nothing."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say: Callable[[str], None] | None = say

    def __call__(self, text: str) -> None:
        if self._say is not None:
            self._say(text)

    def __getstate__(self) -> dict[str, Any]:
        return {"_say": None}
