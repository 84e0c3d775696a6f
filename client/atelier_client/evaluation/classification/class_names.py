"""The names of the classes when there is no model card. They are read from the `label` output of predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.errors import InputError
from atelier_client.responses import Prediction
from atelier_client.signature import Signature

# The output that names the most probable class (docs/contracts.md, section 1).
LABEL_OUTPUT = "label"


def outputs_labels(served: Signature) -> bool:
    """True when the signature has an output of labels."""
    info = served.outputs.get(LABEL_OUTPUT)
    return info is not None and info.dtype == "string"


def names_in(prediction: Prediction, probabilities: NDArray[Any]) -> tuple[str, ...]:
    """A name for each class: the label of the rows in which the class is the most probable.

    A class that no row has gets a name like `class 3`. `probabilities` are float [N,C]. Raises `InputError` when one
    class has two labels. Also when names are numbers but differ from the classes' own numbers, and some names are not
    known: then a number in the data could mean either.
    """
    classes = probabilities.shape[1]
    found: dict[int, str] = {}
    # When two classes have the same highest probability, it is not known which of them the label names.
    highest = np.sort(probabilities, axis=1)
    clear = highest[:, -1] > highest[:, -2]
    numbers = probabilities[clear].argmax(axis=1)
    for number, label in zip(numbers.tolist(), prediction[LABEL_OUTPUT][clear].tolist(), strict=True):
        name = label.decode(errors="replace")
        if found.setdefault(number, name) != name:
            raise InputError(
                f"The server calls class {number} both {found[number]!r} and {name!r}. Name the classes: "
                "--class-names A,B,C."
            )
    if all(name == str(number) for number, name in found.items()):
        return tuple(str(number) for number in range(classes))
    if len(found) < classes and any(_is_number(name) for name in found.values()):
        missing = ", ".join(str(number) for number in range(classes) if number not in found)
        raise InputError(
            f"The server's classes are called by numbers ({', '.join(found.values())}), and which names the classes "
            f"{missing} have is not known. Name all of them: --class-names A,B,C."
        )
    return tuple(found.get(number, f"class {number}") for number in range(classes))


def _is_number(name: str) -> bool:
    return name.strip().lstrip("+-").replace(".", "", 1).isdigit()
