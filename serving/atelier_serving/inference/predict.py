"""Predict: TensorFlow Serving's checks, in its order, and then the run.

Sources of order and texts: servables/tensorflow/predict_util.cc and TensorFlow's cc/saved_model/util.cc at 2.20.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from atelier_serving.models.servable import Servable
from atelier_serving.request_context import current
from atelier_serving.status import Code, ServingError, invalid
from atelier_serving.tensors import ForeignTensorError, TensorError, decode, type_name

DEFAULT_SIGNATURE = "serving_default"
_METHODS = ("tensorflow/serving/predict", "tensorflow/serving/classify", "tensorflow/serving/regress")


def predict(
    servable: Servable,
    signature_name: str,
    inputs: Mapping[str, tensor_pb2.TensorProto | np.ndarray],
    output_filter: Sequence[str],
) -> dict[str, np.ndarray]:
    """Run a signature. Returns the outputs of `output_filter`, or all when it is empty. Raises `ServingError`."""
    signature = servable.signatures.get(signature_name)
    if signature is None:
        raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{signature_name}" not found.')
    if servable.checks_method_names and signature.method_name not in _METHODS:
        expected = ", ".join(_METHODS)
        raise ServingError(
            Code.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{expected}}}. Was: {signature.method_name}",
        )
    feeds = _feeds(signature, inputs)
    aliases = _aliases(signature, output_filter)
    return run(servable, signature, feeds, aliases)


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
    signature: meta_graph_pb2.SignatureDef, inputs: Mapping[str, tensor_pb2.TensorProto | np.ndarray]
) -> list[tuple[str, np.ndarray]]:
    defaults = signature.defaults
    if len(inputs) > len(signature.inputs) or (len(inputs) < len(signature.inputs) and not defaults):
        raise invalid(
            f"input size does not match signature: {len(inputs)}!={len(signature.inputs)} "
            f"len({_set(inputs)}) != len({_set(signature.inputs)}). "
            f"Sent extra: {_set(set(inputs) - set(signature.inputs))}. "
            f"Missing but required: {_set(set(signature.inputs) - set(inputs))}."
        )
    feeds = []
    used = []
    claim = current().claim
    for alias in sorted(signature.inputs):
        name = signature.inputs[alias].name
        value = inputs.get(alias) if alias in inputs else defaults.get(alias)
        if value is None:
            raise invalid(
                f"Signature input alias: {alias}(feed name: {name}) not found in request and no default value "
                f"provided. Inputs expected to be in the request {_set(inputs)}, or default input alias set: "
                f"{','.join(sorted(defaults))}"
            )
        try:
            feeds.append((name, value if isinstance(value, np.ndarray) else decode(value, claim)))
        except ForeignTensorError as error:
            want = type_name(signature.inputs[alias].dtype)
            got = type_name(error.number)
            raise invalid(f"Expects arg[{len(feeds)}] to be {want} but {got} is provided") from None
        except TensorError:
            raise invalid(f"tensor parsing error: {alias}") from None
        used += [alias] if alias in inputs else []
    if len(used) != len(inputs):
        raise invalid(
            f"Inputs contains invalid name. Used request inputs: {','.join(sorted(used))}, "
            f"request input: {','.join(sorted(inputs))}"
        )
    return feeds


def _aliases(signature: meta_graph_pb2.SignatureDef, output_filter: Sequence[str]) -> list[str]:
    if not output_filter:
        return sorted(signature.outputs)
    for position, alias in enumerate(output_filter):
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_set(signature.outputs)}."
            )
        if alias in output_filter[:position]:
            raise invalid(f"duplicate output tensor alias: {alias}")
    return list(output_filter)


def _set(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
