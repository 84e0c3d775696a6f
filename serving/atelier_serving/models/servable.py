"""A loaded version: a session on the SavedModel, and a compiled callable for each set of inputs and outputs."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.saved_model import loader_impl

from atelier_serving.batching.batcher import Batcher
from atelier_serving.flags import Flags
from atelier_serving.request_context import current
from atelier_serving.status import Code, ServingError, invalid
from atelier_serving.tensors import dtype_number, type_name

_PYTHON_OPS = {"EagerPyFunc", "PyFunc", "PyFuncStateless"}
_VARIABLE_OPS = {"VarHandleOp", "VariableV2", "Variable"}
# Clients may ask for any subset of outputs. Each subset needs a callable, so their number is limited.
_MAX_CALLABLES = 256
# The callable, and the dtype of each feed in NumPy and in TensorFlow.
_Compiled = tuple[Callable[..., Any], list[tuple[np.dtype, tf.DType]]]


class Servable:
    """A version's session, loaded by `tf.compat.v1.saved_model.load`: TensorFlow Serving uses the same loader in C++.

    Requests run compiled callables of the session. These have the least overhead of all ways into the runtime, and give
    the runtime's own error texts. `Session.run` checks shapes first, with other texts, and so does `make_callable`
    with a feed list, which calls it.
    """

    def __init__(self, folder: Path, flags: Flags, batcher: Batcher | None = None) -> None:
        """Load the SavedModel in `folder`. Raises `ServingError` or TensorFlow's own errors."""
        _require_complete(folder)
        # Operations run in the calling thread. For a small model a thread pool takes two thirds of the time.
        in_caller = not (flags.tensorflow_session_parallelism or flags.tensorflow_inter_op_parallelism)
        self._run_options = config_pb2.RunOptions(inter_op_thread_pool=-1 if in_caller else 0)
        self.folder = folder
        self.batcher = batcher
        self.checks_method_names = flags.enable_signature_method_name_check
        # For each signature the outputs whose rows depend on the same row of the inputs alone; the loader finds out.
        self.independent_outputs: dict[str, frozenset[str]] = {}
        self.graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self.graph, config=session_config(flags))
        self._callables: dict[tuple[tuple[str, ...], tuple[str, ...]], _Compiled] = {}
        self._lock = threading.Lock()
        try:
            with self.graph.as_default():
                meta = _load(self._session, flags.saved_model_tags.split(","), folder)
            self.signatures: dict[str, meta_graph_pb2.SignatureDef] = dict(meta.signature_def)
            # Until the loader has looked at them.
            self.functions = {item.signature.name: item for item in meta.graph_def.library.function}
            # Fields of protos are slow to read, and each request needs these: the tensors of a signature by alias.
            self.inputs = {name: _tensors(item.inputs) for name, item in self.signatures.items()}
            self.outputs = {name: _tensors(item.outputs) for name, item in self.signatures.items()}
            _require_variables(folder, self.graph)
        except BaseException as error:
            self._session.close()
            raise _serving_error(error, folder, flags.saved_model_tags) from None

    def run(self, feeds: Sequence[tuple[str, np.ndarray]], fetches: Sequence[str]) -> list[np.ndarray]:
        """Run the graph. `feeds` are tensor names with values; the result has the tensors of `fetches`, in order.

        Raises `ServingError` for a wrong dtype, with the text of TensorFlow's C++ session, which differs from that of a
        compiled callable. Raises TensorFlow's own errors for other failures.
        """
        key = (tuple(name for name, _ in feeds), tuple(fetches))
        run, dtypes = self._callables.get(key) or self._compile(key)
        for position, ((kind, dtype), (_, value)) in enumerate(zip(dtypes, feeds, strict=True)):
            if value.dtype != kind:
                got = type_name(dtype_number(value.dtype))
                want = type_name(dtype.as_datatype_enum)
                raise invalid(f"Expects arg[{position}] to be {want} but {got} is provided")
        call = current()
        call.rows += len(feeds[0][1]) if feeds and feeds[0][1].ndim else 1
        if self.batcher:
            return list(self.batcher.run(key, lambda *values: _arrays(run(*values)), feeds))
        began = time.perf_counter()
        try:
            return _arrays(run(*(value for _, value in feeds)))
        finally:
            call.ran += time.perf_counter() - began

    def close(self) -> None:
        """Free the session. No request may be running."""
        self._callables.clear()
        self._session.close()

    def _compile(self, key: tuple[tuple[str, ...], tuple[str, ...]]) -> _Compiled:
        feeds, fetches = key
        with self._lock:
            if key not in self._callables:
                if len(self._callables) >= _MAX_CALLABLES:
                    self._callables.clear()
                tensors = [self.tensor(name) for name in (*feeds, *fetches)]
                options = config_pb2.CallableOptions(feed=feeds, fetch=fetches, run_options=self._run_options)
                call = self._session._make_callable_from_options(options)
                dtypes = [tensor.dtype for tensor in tensors[: len(feeds)]]
                self._callables[key] = (call, [(np.dtype(dtype.as_numpy_dtype), dtype) for dtype in dtypes])
            return self._callables[key]

    def tensor(self, name: str) -> tf.Tensor:
        """A tensor of the graph. Raises `ServingError` with the text of TensorFlow's C++ session."""
        node, _, output = name.partition(":")
        try:
            operation = self.graph.get_operation_by_name(node)
        except (KeyError, ValueError):
            raise ServingError(Code.NOT_FOUND, f"FetchOutputs node {name}: not found") from None
        index = int(output or 0)
        if index >= len(operation.outputs):
            kind = f"type: '{operation.type}', num of outputs: {len(operation.outputs)}"
            text = f"Node '{node}' ({kind}) does not have output {index}"
            raise ServingError(Code.OUT_OF_RANGE, text)
        return operation.outputs[index]


def _tensors(infos: Mapping[str, meta_graph_pb2.TensorInfo]) -> dict[str, str]:
    """The tensors' names by alias, in the order of the aliases."""
    return {alias: infos[alias].name for alias in sorted(infos)}


def _arrays(values: Sequence[Any]) -> list[np.ndarray]:
    """The values as arrays. The runtime gives a scalar string as plain bytes."""
    return [np.array(value, object) if isinstance(value, bytes) else value for value in values]


def session_config(flags: Flags) -> Any:
    """The ConfigProto of every session."""
    threads = flags.tensorflow_session_parallelism
    return tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=threads or flags.tensorflow_intra_op_parallelism,
        inter_op_parallelism_threads=threads or flags.tensorflow_inter_op_parallelism,
    )


def _require_complete(folder: Path) -> None:
    """Raises `ServingError` when there is no SavedModel (session_bundle/oss/session_bundle_util.cc:71-77)."""
    if not any((folder / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise ServingError(
            Code.NOT_FOUND,
            "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
            f"`saved_model.pb`)\nSpecified file path: {folder}",
        )


def _require_variables(folder: Path, graph: tf.Graph) -> None:
    """Raises `ServingError` when the variables are missing: the loader would load the model without them."""
    has_variables = any(operation.type in _VARIABLE_OPS for operation in graph.get_operations())
    if has_variables and not (folder / "variables" / "variables.index").exists():
        raise _without_variables(folder)


def _load(session: tf.compat.v1.Session, tags: list[str], folder: Path) -> meta_graph_pb2.MetaGraphDef:
    """The steps of `tf.compat.v1.saved_model.load`; what calls Python is refused before anything runs."""
    loader = loader_impl.SavedModelLoader(str(folder))
    meta = loader.get_meta_graph_def_from_tags(tags)
    _refuse_python_functions(meta.graph_def)
    saver, _ = loader.load_graph(session.graph, tags)
    loader.restore_variables(session, saver)
    loader.run_init_ops(session, tags)
    return meta


def _refuse_python_functions(graph: graph_pb2.GraphDef) -> None:
    """Raises `ServingError` for tf.py_function and tf.numpy_function: a SavedModel does not contain their Python code.

    TensorFlow Serving's binary does not have these operations; code and text are those of its loader. Without this
    check the model would load here, and each request would fail with a traceback of this process.
    """
    nodes = chain(graph.node, *(function.node_def for function in graph.library.function))
    if found := next((node.op for node in nodes if node.op in _PYTHON_OPS), None):
        raise ServingError(
            Code.NOT_FOUND,
            f"Op type not registered '{found}' in binary running on {socket.gethostname()}. Make sure the Op and "
            "Kernel are registered in the binary running in this process. Note that if you are loading a saved graph "
            "which used ops from tf.contrib (e.g. `tf.contrib.resampler`), accessing should be done before importing "
            "the graph, as contrib ops are lazily registered when the module is first accessed.",
        )


def _without_variables(folder: Path) -> ServingError:
    text = f"{folder}/variables/variables.index is missing, but the graph has variables: the version is incomplete."
    return ServingError(Code.FAILED_PRECONDITION, text)


def _serving_error(error: BaseException, folder: Path, tags: str) -> BaseException:
    """The error of a load with the text of TensorFlow's C++ loader, where its Python code has another text."""
    if isinstance(error, RuntimeError) and "MetaGraphDef associated with tags" in str(error):
        wanted = " ".join(tags.split(","))
        return ServingError(
            Code.NOT_FOUND,
            f"Could not find meta graph def matching supplied tags: {{ {wanted} }}. To inspect available tag-sets in "
            "the SavedModel, please use the SavedModel CLI: `saved_model_cli`",
        )
    if isinstance(error, ValueError) and "not a valid checkpoint" in str(error):
        return _without_variables(folder)
    if (
        isinstance(error, OSError)
        and "Cannot parse file" in str(error)
        and (folder / "saved_model.pb").is_file()
    ):
        return _unparsable(folder / "saved_model.pb")
    if isinstance(error, tf.errors.OpError):
        message = error.message.removeprefix("Graph execution error:\n\n")
        missing = message.endswith("; No such file or directory")
        return ServingError(Code.NOT_FOUND if missing else Code(error.error_code), message)
    return error


def _unparsable(path: Path) -> ServingError:
    """The error for a file that cannot be parsed; OUT_OF_RANGE when it is cut short, as in ReadBinaryProto."""
    content = path.read_bytes()
    position = 0
    while position < len(content):
        # A SavedModel has two kinds of fields: the schema's version, a varint, and graphs with their lengths.
        kind = content[position] & 7
        number, position = _varint(content, position + 1)
        if kind not in (0, 2):
            return ServingError(Code.DATA_LOSS, f"Can't parse {path} as binary proto")
        position += number if kind == 2 else 0
    if position > len(content):
        return ServingError(Code.OUT_OF_RANGE, "Read less bytes than requested")
    return ServingError(Code.DATA_LOSS, f"Can't parse {path} as binary proto")


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """A varint's value and the position after it. The position is beyond the end when the content ends too early."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(content):
            return value, position + 1
        value |= (content[position] & 0x7F) << shift
        position += 1
        if content[position - 1] < 0x80:
            break
    return value, position
