"""MultiInference: several classifications and regressions of the same examples in one run of the graph.

Sources of order and texts: servables/tensorflow/multi_inference.cc at 2.20.0.
"""

from __future__ import annotations

from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import inference_pb2

from atelier_serving.inference.classify import (
    CLASSIFY,
    REGRESS,
    classification_outputs,
    fill_classifications,
    fill_regressions,
    regression_outputs,
    serialized_examples,
)
from atelier_serving.inference.predict import DEFAULT_SIGNATURE, fetch
from atelier_serving.models.servable import Servable
from atelier_serving.status import Code, ServingError, invalid


def multi_inference(
    servable: Servable,
    request: inference_pb2.MultiInferenceRequest,
    response: inference_pb2.MultiInferenceResponse,
) -> None:
    """Add one result for each task, in order. Its model spec has the name of the signature. Raises `ServingError`."""
    tasks: list[tuple[str, meta_graph_pb2.SignatureDef, list[str]]] = []
    for task in request.tasks:
        tasks.append(
            _checked(servable, task, request.tasks[0].model_spec.name, [name for name, _, _ in tasks])
        )
    examples = serialized_examples(request.input)
    names = sorted({signature.outputs[alias].name for _, signature, aliases in tasks for alias in aliases})
    # In a TF2 SavedModel each signature has its own input tensor.
    feeds = [(name, examples) for name in sorted({task[1].inputs["inputs"].name for task in tasks})]
    fetched = dict(zip(names, fetch(servable, feeds, names), strict=True))
    for task, (name, signature, aliases) in zip(request.tasks, tasks, strict=True):
        result = response.results.add()
        result.model_spec.name = task.model_spec.name
        result.model_spec.signature_name = name
        values = {alias: fetched[signature.outputs[alias].name] for alias in aliases}
        if task.method_name == CLASSIFY:
            fill_classifications(values, len(examples), result.classification_result)
        else:
            fill_regressions(values["outputs"], len(examples), result.regression_result)


def _checked(
    servable: Servable, task: inference_pb2.InferenceTask, model: str, seen: list[str]
) -> tuple[str, meta_graph_pb2.SignatureDef, list[str]]:
    """The name of the task's signature, and the aliases to fetch."""
    if not task.model_spec.name:
        raise invalid("Found ModelSpec with an empty model name.")
    if task.model_spec.name != model:
        raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
    name = task.model_spec.signature_name or DEFAULT_SIGNATURE
    if name in seen:
        raise invalid(f"Duplicate evaluation of signature: {name}")
    if name not in servable.signatures:
        raise invalid(f"Requested signature not found in model graph: {name}")
    signature = servable.signatures[name]
    if task.method_name == CLASSIFY:
        return name, signature, classification_outputs(servable, signature)
    if task.method_name == REGRESS:
        return name, signature, regression_outputs(servable, signature)
    raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
