"""From the tensors of a request to what is run: the protocol's checks, each with a sentence of its own.

Both transports use it: `expect` before a tensor's bytes or values are read, `feed` after, and `task` at the end. The
result is the same task that TensorFlow Serving's Predict makes, so it is joined, batched, run and recorded alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atelier_serving.inference.predict import Task
from atelier_serving.models.servable import Servable
from atelier_serving.oip.datatypes import BY_NAME, Datatype
from atelier_serving.oip.signature import listed, signature_of
from atelier_serving.status import invalid
from atelier_serving.tensors import decode


class TaskBuilder:
    """Collects the inputs of one request for a signature of a servable."""

    def __init__(self, servable: Servable, signature_name: str) -> None:
        """Raises `ServingError` when there is no such signature."""
        self._servable = servable
        self._form = signature_of(servable, signature_name)
        self._arrays: dict[str, np.ndarray] = {}

    def expect(self, name: str, datatype: str, shape: tuple[int, ...]) -> Datatype:
        """The data type of an input that comes now. Raises `ServingError` when it is not the signature's."""
        form = self._form.inputs.get(name)
        if form is None:
            raise invalid(f'There is no input "{name}": the inputs are {listed(self._form.inputs)}.')
        if name in self._arrays:
            raise invalid(f'The input "{name}" came twice.')
        known = BY_NAME.get(datatype)
        if known is None:
            raise invalid(
                f'Input "{name}" has the datatype "{datatype}": it is none of {", ".join(BY_NAME)}.'
            )
        if known is not form.datatype:
            raise invalid(f'Input "{name}" is {form.type_name}, and {datatype} came.')
        if not form.fits(shape):
            raise invalid(f'Input "{name}" has the shape {list(form.shape or ())}, and {list(shape)} came.')
        return known

    def feed(self, name: str, array: np.ndarray) -> None:
        """Take an input that was expected."""
        self._arrays[name] = array

    def task(self, outputs: Sequence[str]) -> Task:
        """What is to be run; `outputs` are those that were asked for, none for all. Raises `ServingError`."""
        form = self._form
        arrays = self._arrays
        if len(arrays) != len(form.inputs):
            self._add_defaults()
        feeds = [(tensor.tensor, arrays[name]) for name, tensor in form.inputs.items()]
        names = self._asked(outputs) if outputs else list(form.outputs)
        for name in names if form.foreign else ():
            if name in form.foreign:
                raise invalid(
                    f'Output "{name}" is {form.outputs[name].type_name}, which this protocol has no type for: ask for '
                    "other outputs, or use TensorFlow Serving's Predict."
                )
        return Task(self._servable, form.name, feeds, names)

    def _add_defaults(self) -> None:
        missing = [name for name in self._form.inputs if name not in self._arrays]
        for name in missing:
            if name not in self._form.defaults:
                raise invalid(f'The input "{name}" is missing: the inputs are {listed(self._form.inputs)}.')
            self._arrays[name] = decode(self._servable.signatures[self._form.name].defaults[name])

    def _asked(self, outputs: Sequence[str]) -> list[str]:
        known = self._form.outputs
        for position, name in enumerate(outputs):
            if name not in known:
                raise invalid(f'There is no output "{name}": the outputs are {listed(known)}.')
            if name in outputs[:position]:
                raise invalid(f'The output "{name}" was asked for twice.')
        return list(outputs)
