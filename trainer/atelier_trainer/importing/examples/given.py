"""Examples as they are given to a model, and how the model card describes the file that they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Given:
    """`inputs` [N,..] of the signature's dtypes, texts as bytes objects. `labels` as the file has them: texts, numbers
    [N] or [N,C]; None without labels. `input` is the card's entry of that name, `sha256` the digest of the file.
    `place` names the file and the label's column, for messages; `label_names` are the columns of several labels.
    """

    inputs: Mapping[str, np.ndarray]
    labels: np.ndarray | None
    sha256: str
    place: str
    input: Mapping[str, Any] = field(default_factory=dict)
    label_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))
