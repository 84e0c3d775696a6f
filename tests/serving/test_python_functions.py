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
