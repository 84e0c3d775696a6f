"""Which output of a signature is measured."""

from __future__ import annotations

from atelier_client._layout import Task
from atelier_client.errors import InputError
from atelier_client.signature import Signature

_FLOATS = ("float32", "float64", "float16")
# docs/contracts.md, section 1; what each task looks for, in words.
_USUAL: dict[Task, str] = {
    "classification": "probabilities",
    "regression": "prediction",
    "multi_label": "probabilities",
}
_HOLDS: dict[Task, str] = {
    "classification": "holds the probabilities",
    "regression": "holds the predicted numbers",
    "multi_label": "holds the probabilities",
}
_IS_NONE: dict[Task, str] = {
    "classification": "is no probability for each class",
    "regression": "is no number that could be measured",
    "multi_label": "is no probability for each class",
}


def find_output(served: Signature, wanted: str | None, task: Task) -> str:
    """The output that is measured: the one that is `wanted`, the usual one of the task, or the only floats.

    Raises `InputError`, which names the candidates, when several could be meant.
    """
    floats = _floats(served)
    if wanted is not None:
        served.check_outputs((wanted,))
        if wanted not in floats:
            raise InputError(
                f"The output {served.outputs[wanted]} {_IS_NONE[task]}; floats are: {', '.join(floats) or 'none'}."
            )
        return wanted
    if _USUAL[task] in floats:
        return _USUAL[task]
    if len(floats) == 1:
        return floats[0]
    known = "; ".join(str(info) for info in served.outputs.values())
    choice = f" Floats are: {', '.join(floats)}." if floats else " None of them is of floats."
    raise InputError(
        f"Which output of {served.name} {_HOLDS[task]} is not clear; give --output NAME. It has: {known}.{choice}"
    )


def not_measured(served: Signature, output: str) -> list[str]:
    """A sentence for each other output of floats; the others say in another way what one of these says."""
    return [
        f"The output {served.outputs[name]} was not measured: {output} was (--output {name})."
        for name in _floats(served)
        if name != output
    ]


def _floats(served: Signature) -> list[str]:
    return [info.name for info in served.outputs.values() if info.dtype in _FLOATS]
