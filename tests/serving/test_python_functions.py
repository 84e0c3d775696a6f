"""Models that call Python: the code is in no SavedModel, so the load is refused, as TensorFlow Serving refuses it."""

from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf

from tests.support.peer import AVAILABLE, END, Peer

SPEC = [tf.TensorSpec([None], tf.float32, name="x")]


def doubled(x: np.ndarray) -> np.ndarray:
    """What a server cannot have."""
    return np.asarray(x) * np.float32(2)


def save(folder: Path, call: Callable[[tf.Tensor], tf.Tensor], inner: bool) -> None:
    """A SavedModel that calls Python from its signature, or from a function that the signature's condition calls."""

    class Model(tf.Module):
        @tf.function(input_signature=SPEC)
        def scale(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            y = tf.cond(tf.size(x) > 1, lambda: call(x), lambda: x) if inner else call(x)
            return {"y": tf.ensure_shape(y, [None])}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.scale})


CALLS = {
    "numpy_function": ("PyFunc", lambda x: tf.numpy_function(doubled, [x], tf.float32)),
    "numpy_function without a state": (
        "PyFuncStateless",
        lambda x: tf.numpy_function(doubled, [x], tf.float32, stateful=False),
    ),
    "py_function": ("EagerPyFunc", lambda x: tf.py_function(doubled, [x], tf.float32)),
}


@pytest.mark.parametrize("inner", [False, True], ids=["in the signature", "in a branch"])
@pytest.mark.parametrize(("operation", "call"), CALLS.values(), ids=CALLS)
def test_a_model_that_calls_python_is_not_loaded(
    peer: Peer, operation: str, call: Callable[[tf.Tensor], tf.Tensor], inner: bool
) -> None:
    staged = peer.models / peer.name / ".staging-python"
    save(staged, call, inner)
    peer.publish(staged, 2)
    peer.wait(lambda: peer.states().get(2) == END)
    error = peer.error(2)
    assert error.startswith(f"Op type not registered '{operation}' in binary running on ")
    assert "Make sure the Op and Kernel are registered in the binary running in this process." in error
    assert "Traceback" not in error
    # The version before it goes on answering.
    assert peer.states()[1] == AVAILABLE
    assert peer.scale() == (1.0, 1)
    with pytest.raises(grpc.RpcError) as refused:
        peer.scale(version=2)
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def save_with_python_at_load(folder: Path, operation: Callable[..., tf.Tensor]) -> None:
    """A SavedModel whose init op calls Python; its signature does not."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        y = tf.identity(x * 2.0, name="y")
        init = tf.group(operation(lambda: np.float32(1), [], tf.float32))
        builder = tf.compat.v1.saved_model.Builder(str(folder))
        signature = tf.compat.v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature}, main_op=init)
        builder.save()


@pytest.mark.parametrize("operation", [tf.numpy_function, tf.py_function], ids=["numpy", "py"])
def test_python_that_only_the_load_calls_is_refused_before_it_runs(
    peer: Peer, operation: Callable[..., tf.Tensor]
) -> None:
    staged = peer.models / peer.name / ".staging-init"
    save_with_python_at_load(staged, operation)
    peer.publish(staged, 2)
    peer.wait(lambda: peer.states().get(2) == END)
    assert peer.error(2).startswith("Op type not registered '")
    assert "pyfunc_" not in peer.error(2)
    assert peer.scale() == (1.0, 1)


def test_python_in_a_loop_of_a_function_that_a_signature_calls_is_refused(peer: Peer) -> None:
    class Model(tf.Module):
        @tf.function(input_signature=SPEC)
        def inner(self, x: tf.Tensor) -> tf.Tensor:
            def body(i: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                return i + 1, tf.ensure_shape(tf.numpy_function(doubled, [y], tf.float32), [None])

            return tf.while_loop(
                lambda i, y: i < 3,
                body,
                (0, x),
                shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
            )[1]

        @tf.function(input_signature=SPEC)
        def outer(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": self.inner(x)}

    model = Model()
    staged = peer.models / peer.name / ".staging-loop"
    tf.saved_model.save(model, str(staged), signatures={"serving_default": model.outer})
    peer.publish(staged, 2)
    peer.wait(lambda: peer.states().get(2) == END)
    assert peer.error(2).startswith("Op type not registered 'PyFunc")
