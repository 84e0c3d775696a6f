"""Classify and Regress: from tf.Examples to classes and scores, or to a value.

Sources of checks and texts: servables/tensorflow/classifier.cc, regressor.cc and util.cc at 2.20.0.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from atelier_serving.inference.predict import run
from atelier_serving.models.servable import Servable
from atelier_serving.request_context import current
from atelier_serving.status import Code, ServingError, invalid
from atelier_serving.tensors import COUNTED_BYTES, dtype_number

# The bytes of a context in all examples together: a request of a few bytes must not claim gigabytes.
_MAX_REPEATED = 64 * 2**20
# What an example and its results take beyond its bytes, as the bytes of a large message count: an eighth of what was
# measured for a multi-inference of six tasks.
_EXAMPLE_BYTES = 72
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


def classify(
    servable: Servable,
    signature_name: str,
    inputs: input_pb2.Input,
    result: classification_pb2.ClassificationResult,
) -> None:
    """Add one Classifications to `result` for each example. Raises `ServingError`."""
    signature = _signature(servable, signature_name)
    aliases = classification_outputs(servable, signature)
    examples = serialized_examples(inputs)
    values = run(servable, signature, [(signature.inputs["inputs"].name, examples)], aliases)
    fill_classifications(values, len(examples), result)


def regress(
    servable: Servable, signature_name: str, inputs: input_pb2.Input, result: regression_pb2.RegressionResult
) -> None:
    """Add one value to `result` for each example. Raises `ServingError`."""
    signature = _signature(servable, signature_name)
    aliases = regression_outputs(servable, signature)
    examples = serialized_examples(inputs)
    values = run(servable, signature, [(signature.inputs["inputs"].name, examples)], aliases)
    fill_regressions(values["outputs"], len(examples), result)


def classification_outputs(servable: Servable, signature: meta_graph_pb2.SignatureDef) -> list[str]:
    """The aliases to fetch: `classes`, `scores` or both. Raises `ServingError` when it is no classification."""
    _check_method(servable, signature, "classification", CLASSIFY)
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if "inputs" not in signature.inputs:
        raise invalid(f"No classification inputs found in SignatureDef: {signature}")
    aliases = [alias for alias in ("classes", "scores") if alias in signature.outputs]
    if not aliases:
        raise invalid(
            "Expected classification signature outputs to contain at least one of "
            f'"classes" or "scores". Signature was: {signature}'
        )
    return aliases


def regression_outputs(servable: Servable, signature: meta_graph_pb2.SignatureDef) -> list[str]:
    """The alias to fetch: `outputs`. Raises `ServingError` when the signature is no regression."""
    _check_method(servable, signature, "regression", REGRESS)
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if "inputs" not in signature.inputs:
        raise invalid(f"No regression inputs found in SignatureDef: {signature}")
    if "outputs" not in signature.outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {signature}")
    return ["outputs"]


def fill_classifications(
    values: Mapping[str, np.ndarray], examples: int, result: classification_pb2.ClassificationResult
) -> None:
    """Check `classes` (string [N,C]) and `scores` (float32 [N,C]) and add them in pairs. Raises `ServingError`."""
    for alias, dtype, word in (("classes", object, "DT_STRING"), ("scores", np.float32, "DT_FLOAT")):
        if alias not in values:
            continue
        value = values[alias]
        if value.ndim != 2:
            text = f"Expected Tensor shape: [batch_size num_classes] but got {_shape(value)}"
            raise invalid(text)
        if value.dtype != dtype:
            raise invalid(f"Expected {alias} Tensor of {word}. Got: {_type(value)}")
        if len(value) != examples:
            raise invalid(f"Expected {alias} output batch size of {examples}. Got: {len(value)}")
    classes = values.get("classes")
    scores = values.get("scores")
    if classes is not None and scores is not None and classes.shape != scores.shape:
        widths = f"{classes.shape[1]} vs. {scores.shape[1]}"
        raise invalid(f"Tensors class and score should match in dim_size(1). Got {widths}")
    for row in range(examples):
        entry = result.classifications.add()
        for column in range(next(iter(values.values())).shape[1]):
            pair = entry.classes.add()
            if classes is not None:
                pair.label = classes[row, column].decode("utf-8", "replace")
            if scores is not None:
                pair.score = scores[row, column]


def fill_regressions(value: np.ndarray, examples: int, result: regression_pb2.RegressionResult) -> None:
    """Check `outputs` (float32 [N] or [N,1]) and add its values. Raises `ServingError`."""
    if value.ndim not in (1, 2) or (value.ndim == 2 and value.shape[1] != 1):
        text = f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(value)}"
        raise invalid(text)
    if len(value) != examples:
        raise invalid(f"Input batch size did not match output batch size: {examples} vs. {len(value)}")
    if value.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_type(value)}")
    for item in value.ravel():
        result.regressions.add(value=item)


def serialized_examples(inputs: input_pb2.Input) -> np.ndarray:
    """The serialized examples, object [N], each with the features of the context. Raises `ServingError`."""
    field = inputs.WhichOneof("kind")
    given = getattr(inputs, field) if field else None
    if given is None or not given.examples:
        raise invalid("Input is empty.")
    # A parser merges concatenated protos. The last value counts, so the example's own features come after the
    # context's.
    has_context = field == "example_list_with_context"
    context = given.context.SerializeToString() if has_context else b""
    if len(context) * len(given.examples) > _MAX_REPEATED:
        raise ServingError(
            Code.RESOURCE_EXHAUSTED,
            f"A context of {len(context)} bytes for each of {len(given.examples)} examples is more than "
            f"{_MAX_REPEATED} bytes. Send fewer examples at a time.",
        )
    beyond = len(given.examples) * _EXAMPLE_BYTES
    if (claim := current().claim) and beyond >= COUNTED_BYTES:
        claim(beyond)
    array = np.empty(len(given.examples), object)
    # One at a time: an object for each of a million at once takes 17 s, and other threads wait for all of that.
    for row, example in enumerate(given.examples):
        array[row] = context + example.SerializeToString()
    return array


def _signature(servable: Servable, name: str) -> meta_graph_pb2.SignatureDef:
    signature = servable.signatures.get(name)
    if signature is None:
        raise invalid(f"No signature was found with the name: {name}")
    return signature


def _check_method(
    servable: Servable, signature: meta_graph_pb2.SignatureDef, word: str, expected: str
) -> None:
    if servable.checks_method_names and signature.method_name != expected:
        raise invalid(f"Expected {word} signature method_name to be {expected}. Was: {signature.method_name}")


def _shape(value: np.ndarray) -> str:
    return "[" + ",".join(map(str, value.shape)) + "]"


def _type(value: np.ndarray) -> str:
    return str(types_pb2.DataType.Name(dtype_number(value.dtype)))
