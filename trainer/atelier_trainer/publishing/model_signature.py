"""The signature of a SavedModel that is measured: its inputs and outputs, read from saved_model.pb."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow.python.framework import op_def_registry

from atelier_trainer.errors import ImportRefused

DEFAULT = "serving_default"
# Their functions live in the process that saved the model.
_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")
# Keras 2 and TensorFlow save the setting up of a model under this name; it is nobody's to ask.
_INIT = "__saved_model_init_op"


@dataclass(frozen=True)
class Tensor:
    """Dtype and shape of an input or output; the first size is the batch, None is any size. `shape` None: any rank."""

    dtype: np.dtype[Any]
    type_name: str
    shape: tuple[int | None, ...] | None

    @property
    def is_text(self) -> bool:
        return self.dtype == object

    @property
    def is_float(self) -> bool:
        return self.type_name in ("float16", "bfloat16", "float32", "float64")

    @property
    def row(self) -> tuple[int | None, ...]:
        """The shape of one row."""
        return self.shape[1:] if self.shape else ()

    def document(self) -> dict[str, Any]:
        """As in the model card."""
        return {"dtype": self.type_name, "shape": None if self.shape is None else list(self.shape)}


@dataclass(frozen=True)
class Signature:
    """A signature by its name; inputs and outputs by theirs, in the order of the alphabet."""

    name: str
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


def read_graph(folder: Path) -> meta_graph_pb2.MetaGraphDef:
    """The graph that servers load (tag `serve`). Raises `ImportRefused` for one that they could not run."""
    path = folder / "saved_model.pb"
    try:
        document = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except DecodeError:
        raise ImportRefused(f"{path} is no SavedModel, or is cut short: copy the folder again.") from None
    graphs = [graph for graph in document.meta_graphs if list(graph.meta_info_def.tags) == ["serve"]]
    if not graphs:
        tags = "; ".join(",".join(graph.meta_info_def.tags) for graph in document.meta_graphs) or "none"
        raise ImportRefused(
            f"{folder} has no graph with the tag 'serve', which servers load; its graphs have the tags: {tags}. "
            "Save it for "
            "serving (model.export(folder), or tf.saved_model.save)."
        )
    _require_ops(folder, graphs[0])
    return graphs[0]


def read_signature(folder: Path, graph: meta_graph_pb2.MetaGraphDef, wanted: str | None = None) -> Signature:
    """The signature asked for, else `serving_default`, else the only one. Raises `ImportRefused`."""
    names = sorted(
        name for name, signature in graph.signature_def.items() if name != _INIT and signature.outputs
    )
    if not names:
        raise ImportRefused(
            f"{folder} has no signature, so that no server can be asked anything: save it with one "
            "(tf.saved_model.save(model, folder, signatures={'serving_default': function}), or model.export(folder))."
        )
    if wanted is not None and wanted not in names:
        raise ImportRefused(f"--signature {wanted}: {folder} has the signatures {', '.join(names)}.")
    name = wanted or (DEFAULT if DEFAULT in names else names[0])
    if wanted is None and name != DEFAULT and len(names) > 1:
        raise ImportRefused(
            f"{folder} has no signature {DEFAULT!r}, but {', '.join(names)}: --signature NAME says which is measured."
        )
    found = graph.signature_def[name]
    return Signature(name, _tensors(found.inputs), _tensors(found.outputs))


def _tensors(infos: Mapping[str, meta_graph_pb2.TensorInfo]) -> dict[str, Tensor]:
    return {name: _tensor(infos[name]) for name in sorted(infos)}


def _tensor(info: meta_graph_pb2.TensorInfo) -> Tensor:
    dtype = tf.as_dtype(info.dtype)
    shape = None
    if not info.tensor_shape.unknown_rank:
        shape = tuple(None if dim.size < 0 else int(dim.size) for dim in info.tensor_shape.dim)
    return Tensor(np.dtype(dtype.as_numpy_dtype), dtype.name, shape)


def _require_ops(folder: Path, graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Raises `ImportRefused` for operations that are Python functions, or that TensorFlow does not have."""
    library = graph.graph_def.library.function
    nodes = [*graph.graph_def.node, *(node for function in library for node in function.node_def)]
    ops = {node.op for node in nodes} - {function.signature.name for function in library}
    if python := sorted(ops.intersection(_PYTHON)):
        raise ImportRefused(
            f"{folder} calls Python functions ({', '.join(python)}: tf.py_function or tf.numpy_function), which no "
            "server "
            "has: compute the same with TensorFlow's operations."
        )
    if unknown := sorted(op for op in ops if op_def_registry.get(op) is None):
        raise ImportRefused(
            f"{folder} needs operations that TensorFlow {tf.__version__} does not have: {', '.join(unknown[:6])}. "
            "They are of a "
            "package of their own, such as tensorflow-text, and no server here has it."
        )
