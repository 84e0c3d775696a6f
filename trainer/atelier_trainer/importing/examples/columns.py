"""Which columns of somebody's examples are the label and the inputs."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from atelier_trainer.errors import ImportRefused
from atelier_trainer.publishing.model_signature import Signature, Tensor

# Usual names of a label column, as the client knows them (client/atelier_client/data/columns.py).
LABEL_COLUMNS = ("label", "labels", "class", "target", "y_test", "y")
_SHOWN = 12


def named_label(path: Path, columns: Sequence[str], signature: Signature, wanted: str | None) -> str | None:
    """The label's column: the one asked for, or one of a usual name. Raises `ImportRefused` for one that is absent."""
    if wanted is not None:
        if wanted not in columns:
            raise ImportRefused(
                f"{path} has no column {wanted!r} (--label-column).{near(wanted, columns)} It has: {listed(columns)}."
            )
        if wanted in signature.inputs:
            raise ImportRefused(
                f"{path}: the column {wanted!r} (--label-column) is an input of the model, not its label."
            )
        return wanted
    lower = {name.lower(): name for name in columns if name not in signature.inputs}
    return next((lower[name] for name in LABEL_COLUMNS if name in lower), None)


def named_labels(
    path: Path, columns: Sequence[str], signature: Signature, wanted: str | None
) -> tuple[str, ...]:
    """The label's column as `named_label`, or several with commas between; none where nothing names it."""
    if wanted is not None and wanted not in columns and "," in wanted:
        asked = dict.fromkeys(name.strip() for name in wanted.split(","))
        found = [named_label(path, columns, signature, name) for name in asked]
    else:
        found = [named_label(path, columns, signature, wanted)]
    return tuple(name for name in found if name is not None)


def missing(path: Path, columns: Sequence[str], signature: Signature) -> ImportRefused:
    """The error for examples that lack an input."""
    lacking = next(name for name in signature.inputs if name not in columns)
    return ImportRefused(
        f"{path} has no column for the input "
        f"{described(lacking, signature.inputs[lacking])}.{near(lacking, columns)} It has: "
        f"{listed(columns)}; the model takes {listed([described(*item) for item in signature.inputs.items()])}."
    )


def described(name: str, tensor: Tensor) -> str:
    """An input for a message."""
    shape = (
        "of any shape"
        if tensor.shape is None
        else f"[{', '.join('N' if not at else str(size or '?') for at, size in enumerate(tensor.shape))}]"
    )
    return f"{name} ({tensor.type_name} {shape})"


def width(tensor: Tensor) -> int | None:
    """How many values a row has; None where that is not fixed."""
    if tensor.shape is None or None in tensor.row:
        return None
    return math.prod(size or 1 for size in tensor.row)


def near(name: str, names: Sequence[str]) -> str:
    """A hint for a name that is nearly one of others."""
    lower: Mapping[str, str] = {other.lower().strip(): other for other in names}
    found = difflib.get_close_matches(name.lower().strip(), lower, n=1)
    return f" Did you mean {lower[found[0]]!r}?" if found else ""


def listed(names: Sequence[str]) -> str:
    """The first of the names, for a message."""
    if not names:
        return "nothing"
    return ", ".join(names[:_SHOWN]) + (f", .. ({len(names)} in all)" if len(names) > _SHOWN else "")
