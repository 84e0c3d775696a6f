"""How a version is asked about labelled examples."""

from __future__ import annotations

from dataclasses import dataclass

from atelier_client._layout import UNKNOWN, LabelKind, Layout, Task


@dataclass(frozen=True)
class Settings:
    """How to evaluate. When `output` or `class_names` is None, it is found out. `patience` is as in RetryingSender.

    `layout` is what the model card says of the columns, `label_kind` what it says of the labels (data/labels.py).
    `label_column` is the user's: one name, or several with commas between.
    """

    version: int
    task: Task = "classification"
    signature: str = "serving_default"
    output: str | None = None
    class_names: tuple[str, ...] | None = None
    label_column: str | None = None
    layout: Layout = UNKNOWN
    label_kind: LabelKind | None = None
    slices: tuple[str, ...] = ()
    patience: float = 60.0
