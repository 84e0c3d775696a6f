"""What a model learns, and the output that its answer is served in (docs/contracts.md, section 1)."""

from __future__ import annotations

from typing import Literal

Task = Literal["classification", "regression"]
OUTPUTS: dict[Task, str] = {"classification": "probabilities", "regression": "prediction"}
