"""Predict: TensorFlow Serving's checks, in its order, and then the run.

Sources of order and texts: servables/tensorflow/predict_util.cc and TensorFlow's cc/saved_model/util.cc at 2.20.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from atelier_serving.models.servable import Servable
from atelier_serving.request_context import current
from atelier_serving.status import Code, ServingError, invalid
from atelier_serving.tensors import ForeignTensorError, TensorError, decode, type_name

DEFAULT_SIGNATURE = "serving_default"
# The method names that a signature for Predict may have.
METHODS = ("tensorflow/serving/predict", "tensorflow/serving/classify", "tensorflow/serving/regress")


@dataclass(slots=True)
class Task:
    """A checked Predict: what is fed (tensor name, array), and which outputs are asked for (`aliases`)."""

    servable: Servable
    signature_name: str
    feeds: list[tuple[str, np.ndarray]]
    aliases: list[str]

    def run(self) -> dict[str, np.ndarray]:
        """The outputs by alias. Raises `ServingError`."""
        return self.run_with(self.feeds)

    def run_with(self, feeds: Sequence[tuple[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The same with other feeds."""
        known = self.servable.outputs[self.signature_name]
        arrays = fetch(self.servable, feeds, [known[alias] for alias in self.aliases])
        return dict(zip(self.aliases, arrays, strict=True))


def predict(
    servable: Servable,
    signature_name: str,
    inputs: Mapping[str, tensor_pb2.TensorProto | np.ndarray],
    output_filter: Sequence[str],
) -> dict[str, np.ndarray]:
    """Run a signature. Returns the outputs of `output_filter`, or all when it is empty. Raises `ServingError`."""
    return checked(servable, signature_name, inputs, output_filter).run()


def checked(
    servable: Servable,
    signature_name: str,
    inputs: Mapping[str, tensor_pb2.TensorProto | np.ndarray],
    output_filter: Sequence[str],
) -> Task:
    """The task of a request. Raises `ServingError`."""
    signature = servable.signatures.get(signature_name)
    if signature is None:
        raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{signature_name}" not found.')
    if servable.checks_method_names and signature.method_name not in METHODS:
        expected = ", ".join(METHODS)
        raise ServingError(
            Code.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{expected}}}. Was: {signature.method_name}",
        )
    feeds = _feeds(servable.inputs[signature_name], signature, inputs)
    aliases = _aliases(servable.outputs[signature_name], output_filter)
    return Task(servable, signature_name, feeds, aliases)


def run(
    servable: Servable,
    signature: meta_graph_pb2.SignatureDef,
    feeds: Sequence[tuple[str, np.ndarray]],
    aliases: Sequence[str],
) -> dict[str, np.ndarray]:
    """Run with checked feeds (tensor name, array). Raises `ServingError` with the text of the runtime."""
    names = [signature.outputs[alias].name for alias in aliases]
    return dict(zip(aliases, fetch(servable, feeds, names), strict=True))


def fetch(
    servable: Servable, feeds: Sequence[tuple[str, np.ndarray]], names: Sequence[str]
) -> list[np.ndarray]:
    """Run the graph and fetch tensors by name. Raises `ServingError` with the code and text of the runtime."""
    try:
        return servable.run(feeds, names)
    except tf.errors.OpError as error:
        raise ServingError(Code(error.error_code), error.message) from None
    except UnicodeDecodeError as error:
        # The text of the runtime contains bytes of the request that are no UTF-8. TensorFlow's Python code cannot
        # decode the text, and loses text and code. An error that shows bytes of the request is an error in the
        # request.
        raise invalid(error.object.decode("utf-8", "replace")) from None


def _feeds(
    tensors: Mapping[str, str],
    signature: meta_graph_pb2.SignatureDef,
    inputs: Mapping[str, tensor_pb2.TensorProto | np.ndarray],
) -> list[tuple[str, np.ndarray]]:
    """What to feed; `tensors` are the names of the signature's tensors by alias."""
    if len(inputs) > len(tensors) or (len(inputs) < len(tensors) and not signature.defaults):
        raise invalid(
            f"input size does not match signature: {len(inputs)}!={len(tensors)} "
            f"len({_set(inputs)}) != len({_set(tensors)}). "
            f"Sent extra: {_set(set(inputs) - set(tensors))}. "
            f"Missing but required: {_set(set(tensors) - set(inputs))}."
        )
    feeds: list[tuple[str, np.ndarray]] = []
    used = 0
    claim = current().claim
    for alias, name in tensors.items():
        if alias in inputs:
            used += 1
            value = inputs[alias]
        elif alias in signature.defaults:
            value = signature.defaults[alias]
        else:
            raise invalid(
                f"Signature input alias: {alias}(feed name: {name}) not found in request and no default value "
                f"provided. Inputs expected to be in the request {_set(inputs)}, or default input alias set: "
                f"{','.join(sorted(signature.defaults))}"
            )
        try:
            feeds.append((name, value if isinstance(value, np.ndarray) else decode(value, claim)))
        except ForeignTensorError as error:
            want = type_name(signature.inputs[alias].dtype)
            got = type_name(error.number)
            raise invalid(f"Expects arg[{len(feeds)}] to be {want} but {got} is provided") from None
        except TensorError:
            raise invalid(f"tensor parsing error: {alias}") from None
    if used != len(inputs):
        raise invalid(
            f"Inputs contains invalid name. Used request inputs: {','.join(sorted(set(inputs) & set(tensors)))}, "
            f"request input: {','.join(sorted(inputs))}"
        )
    return feeds


def _aliases(known: Mapping[str, str], output_filter: Sequence[str]) -> list[str]:
    if not output_filter:
        return list(known)
    asked = list(output_filter)
    for position, alias in enumerate(asked):
        if alias not in known:
            raise invalid(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_set(known)}."
            )
        if alias in asked[:position]:
            raise invalid(f"duplicate output tensor alias: {alias}")
    return asked


def _set(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
