"""One loaded version: a session on the SavedModel, and compiled callables for the sets of outputs asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from atelier_serving.flags import Flags
from atelier_serving.status import Code, ServingError

_VARIABLE_OPS = {"VarHandleOp", "VariableV2", "Variable"}
# A client may ask for any subset of outputs; each costs a callable, so their number is bounded.
_MAX_CALLABLES = 256


class Servable:
    """A version's session. `tf.compat.v1.saved_model.load` is the loader TensorFlow Serving itself uses (in C++).

    Its compiled callables have the least overhead of all ways into the runtime, and give the runtime's own error texts:
    `Session.run`, and `make_callable` with a feed list, which calls it, check shapes first, in words of their own.
    """

    def __init__(self, folder: Path, flags: Flags) -> None:
        """Load the SavedModel in `folder`. Raises `ServingError` or TensorFlow's own errors."""
        _require_complete(folder)
        threads = flags.tensorflow_session_parallelism
        options = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=threads or flags.tensorflow_intra_op_parallelism,
            inter_op_parallelism_threads=threads or flags.tensorflow_inter_op_parallelism,
        )
        self.folder = folder
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph, config=options)
        self._callables: dict[tuple[tuple[str, ...], tuple[str, ...]], object] = {}
        self._lock = threading.Lock()
        try:
            with self._graph.as_default():
                meta = tf.compat.v1.saved_model.load(
                    self._session, flags.saved_model_tags.split(","), str(folder)
                )
            self.signatures: dict[str, meta_graph_pb2.SignatureDef] = dict(meta.signature_def)
            _require_variables(folder, self._graph)
        except BaseException:
            self._session.close()
            raise

    def run(self, feeds: Sequence[tuple[str, np.ndarray]], fetches: Sequence[str]) -> list[np.ndarray]:
        """Run the graph: values for tensor names in, the fetched tensors out, in order."""
        key = (tuple(name for name, _ in feeds), tuple(fetches))
        call = self._callables.get(key) or self._compile(key)
        return call(*(value for _, value in feeds))  # type: ignore[operator]

    def close(self) -> None:
        """Free the session; no request may be running."""
        self._callables.clear()
        self._session.close()

    def _compile(self, key: tuple[tuple[str, ...], tuple[str, ...]]) -> object:
        feeds, fetches = key
        with self._lock:
            if key not in self._callables:
                if len(self._callables) >= _MAX_CALLABLES:
                    self._callables.clear()
                for name in (*feeds, *fetches):
                    # A missing tensor is told apart here: the runtime would abort the whole callable later.
                    self._graph.get_tensor_by_name(name)
                options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
                self._callables[key] = self._session._make_callable_from_options(options)
            return self._callables[key]


def _require_complete(folder: Path) -> None:
    """TensorFlow Serving's check and text (session_bundle/oss/session_bundle_util.cc:71-77)."""
    if not any((folder / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise ServingError(
            Code.NOT_FOUND,
            "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
            f"`saved_model.pb`)\nSpecified file path: {folder}",
        )


def _require_variables(folder: Path, graph: tf.Graph) -> None:
    """Refuse the trap of a complete saved_model.pb without its variables, which the loader takes for a whole model."""
    if os.path.exists(folder / "variables" / "variables.index"):
        return
    names = [operation.name for operation in graph.get_operations() if operation.type in _VARIABLE_OPS]
    if names:
        raise ServingError(
            Code.FAILED_PRECONDITION,
            f"{folder}/variables/variables.index is missing, and the graph has {len(names)} variables "
            f"(such as {names[0]}): the version is incomplete.",
        )
