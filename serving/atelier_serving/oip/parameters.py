"""Parameters of requests, inputs and outputs: a name with a bool, a number or a string.

`signature_name` is this server's own; the binary ones are of the extension binary_tensor_data. Others are passed over,
as the protocol allows, but for those of extensions that would change what is read or answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atelier_serving.status import invalid

SIGNATURE = "signature_name"
BINARY_SIZE = "binary_data_size"
BINARY = "binary_data"
BINARY_OUTPUT = "binary_data_output"
# Triton's extensions shared_memory and classification.
_FOREIGN = ("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset", "classification")


def of_message(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The values of InferParameter messages by name. Raises `ServingError` for one without a value."""
    values = {}
    for name, parameter in parameters.items():
        field = parameter.WhichOneof("parameter_choice")
        if field is None:
            raise invalid(f'The parameter "{name}" has no value: expected a bool, a number or a string.')
        values[name] = getattr(parameter, field)
    return values


def of_document(owner: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a JSON object, which `owner` names in errors. Raises `ServingError`."""
    parameters = document.get("parameters", {})
    if not isinstance(parameters, dict):
        raise invalid(f"{owner}: parameters must be an object.")
    for name, value in parameters.items():
        if not isinstance(value, bool | int | float | str):
            raise invalid(f'{owner}: the parameter "{name}" must be a bool, a number or a string.')
    return parameters


def signature_name(value: Any) -> str:
    """The signature that a request asks for. Raises `ServingError` when it is no string."""
    if not isinstance(value, str):
        raise invalid(f"The parameter {SIGNATURE} must be a string.")
    return value


def flag(owner: str, parameters: Mapping[str, Any], name: str, default: bool) -> bool:
    """A parameter that is true or false. Raises `ServingError`."""
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise invalid(f"{owner}: the parameter {name} must be true or false.")
    return value


def refuse_foreign(tensor: str, parameters: Mapping[str, Any]) -> None:
    """Raises `ServingError` for parameters of extensions that this server has not."""
    for name in _FOREIGN:
        # A classification of 0 classes asks for none.
        if parameters.get(name):
            raise invalid(
                f'Tensor "{tensor}": the parameter {name} is of an extension that this server has not; it has '
                "binary_tensor_data."
            )
