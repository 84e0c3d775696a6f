"""Names in a SavedModel that TensorFlow does not write as they are meant: set after it was saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tensorflow.core.protobuf import saved_model_pb2


def placeholder(number: int) -> str:
    """The name of an input while TensorFlow traces it. It would change spaces in a name."""
    return f"column_{number}"


def set_method(path: Path, signature: str, method: str) -> None:
    """Give a signature of a saved_model.pb its method name: tf.saved_model.save gives every one the predict method."""
    document = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    document.meta_graphs[0].signature_def[signature].method_name = method
    path.write_bytes(document.SerializeToString())


def set_names(path: Path, signature: str, names: Mapping[str, str]) -> None:
    """Give the inputs of a signature, which have the names of `placeholder`, their own names."""
    if not names:
        return
    document = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    graph = document.meta_graphs[0]
    inputs = graph.signature_def[signature].inputs
    tensors = {names[name]: inputs.pop(name) for name in list(inputs)}
    for name, tensor in tensors.items():
        inputs[name].CopyFrom(tensor)
    # tf.saved_model.load takes the names of the inputs from the object graph.
    for node in graph.object_graph_def.nodes:
        words = node.bare_concrete_function.argument_keywords
        if set(words) == set(names):
            words[:] = [names[word] for word in words]
    path.write_bytes(document.SerializeToString())
