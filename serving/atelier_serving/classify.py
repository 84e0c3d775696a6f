"""Classify and Regress: tf.Examples in, classes and scores or a value out.

Sources of checks and texts: servables/tensorflow/classifier.cc, regressor.cc and util.cc at 2.20.0.
"""

from __future__ import annotations

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from atelier_serving.predict import run
from atelier_serving.servable import Servable
from atelier_serving.status import invalid


def classify(
    servable: Servable,
    signature_name: str,
    inputs: input_pb2.Input,
    result: classification_pb2.ClassificationResult,
) -> None:
    """Fill `result` with one Classifications per example. Raises `ServingError`."""
    signature = _signature(servable, signature_name)
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
    values = run(servable, signature, [(signature.inputs["inputs"].name, _examples(inputs))], aliases)
    rows = len(next(iter(values.values())))
    for row in range(rows):
        entry = result.classifications.add()
        names = values["classes"][row] if "classes" in values else [b""] * len(values["scores"][row])
        scores = values["scores"][row] if "scores" in values else [0.0] * len(names)
        for name, score in zip(names, scores, strict=True):
            entry.classes.add(label=name, score=score)


def regress(
    servable: Servable, signature_name: str, inputs: input_pb2.Input, result: regression_pb2.RegressionResult
) -> None:
    """Fill `result` with one value per example. Raises `ServingError`."""
    signature = _signature(servable, signature_name)
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if "inputs" not in signature.inputs:
        raise invalid(f"No regression inputs found in SignatureDef: {signature}")
    if "outputs" not in signature.outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {signature}")
    values = run(servable, signature, [(signature.inputs["inputs"].name, _examples(inputs))], ["outputs"])
    for value in values["outputs"].ravel():
        result.regressions.add(value=value)


def _signature(servable: Servable, name: str) -> meta_graph_pb2.SignatureDef:
    signature = servable.signatures.get(name)
    if signature is None:
        raise invalid(f"No signature was found with the name: {name}")
    return signature


def _examples(inputs: input_pb2.Input) -> np.ndarray:
    """The serialized examples, object [N]; the context's features are added to each."""
    kind = inputs.WhichOneof("kind")
    examples = list(getattr(inputs, kind).examples) if kind else []
    if not examples:
        raise invalid("Input is empty.")
    array = np.empty(len(examples), object)
    if kind == "example_list_with_context":
        context = inputs.example_list_with_context.context.SerializeToString()
        # Concatenated protos are merged: the example's own features win over the context's.
        array[:] = [context + example.SerializeToString() for example in examples]
    else:
        array[:] = [example.SerializeToString() for example in examples]
    return array
