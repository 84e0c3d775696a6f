"""A Keras model, loaded by Keras 3 or Keras 2 (tf_keras), and exported under the names of its inputs and outputs."""

from __future__ import annotations

import importlib
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from atelier_trainer.errors import ImportRefused
from atelier_trainer.importing import keras_config
from atelier_trainer.importing.source import Source
from atelier_trainer.printable import say
from atelier_trainer.publishing.signature_names import placeholder, set_names


@dataclass(frozen=True)
class KerasModel:
    """`loader` says which Keras loaded it, with its version; `rescales` that it divides pixels itself."""

    model: Any
    loader: str
    rescales: bool


def load(source: Source) -> KerasModel:
    """Build the model of a .keras or .h5 file, without running code from it. Raises `ImportRefused`.

    A file of Keras 2 is Keras 2's to load, where it is installed: Keras 3 takes the first layer's
    `batch_input_shape` in a
    Sequential of 2019 for the shape of one row, and loads the file without a word.
    """
    config = keras_config.read(source)
    keras_config.require_no_lambda(source, config)
    old = keras_config.keras_version(source).startswith(("1.", "2."))
    reasons = []
    libraries = []
    for name in ("tf_keras", "keras") if old else ("keras", "tf_keras"):
        try:
            library = importlib.import_module(name)
        except ImportError:
            reasons.append("tf_keras, which is Keras 2, is not installed (atelier-trainer[tf-keras] has it)")
            continue
        libraries.append(library)
        try:
            model = _built(library, source)
            _require_inputs(model, config)
        except Exception as failure:
            reasons.append(f"{name} {library.__version__}: {_line(failure)}")
            continue
        if name == "tf_keras":
            said = "is a file of Keras 2" if old else f"is not loaded by Keras 3 ({reasons[0]})"
            say(f"{source.path.name} {said}: tf_keras {library.__version__} loads it.")
        return KerasModel(model, f"{name} {library.__version__}", keras_config.divides_pixels(config))
    if error := keras_config.custom(source, config, libraries):
        raise error
    if error := keras_config.custom(source, config, libraries):
        raise error
    raise ImportRefused(f"{source.path} cannot be loaded: {'; '.join(reasons)}.")


def export(loaded: KerasModel, source: Source, folder: Path) -> None:
    """Write a SavedModel whose `serving_default` has the model's inputs and outputs by their names.

    The first axis of every input is the batch, of any size. Raises `ImportRefused` for inputs that are no dense
    tensors.
    """
    model = loaded.model
    inputs = list(model.inputs)
    names = _input_names(model, source)
    specs = {
        placeholder(number): tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype, name=placeholder(number))
        for number, tensor in enumerate(inputs)
    }
    if any(getattr(tensor, "ragged", False) or getattr(tensor, "sparse", False) for tensor in inputs):
        raise ImportRefused(f"{source.path} takes ragged or sparse tensors, which a request cannot carry.")
    out = _output_names(model)

    def serving_default(**given: Any) -> dict[str, Any]:
        values = [given[placeholder(number)] for number in range(len(inputs))]
        answer = model(values[0] if len(values) == 1 else values, training=False)
        if isinstance(answer, dict):
            return {str(name): value for name, value in answer.items()}
        return dict(zip(out, tf.nest.flatten(answer), strict=True))

    module = tf.Module()
    module.model = model
    # Listed here, so that the export finds them: the variables of Keras 3 are not TensorFlow's own.
    module.weights = [value if isinstance(value, tf.Variable) else value.value for value in model.variables]
    try:
        function = tf.function(serving_default, autograph=False).get_concrete_function(**specs)
        tf.saved_model.save(module, str(folder), signatures={"serving_default": function})
    except (
        ValueError,
        TypeError,
        NotImplementedError,
        AttributeError,
        tf.errors.InvalidArgumentError,
    ) as error:
        raise ImportRefused(f"{source.path} cannot be exported as a SavedModel: {_line(error)}.") from None
    set_names(
        folder / "saved_model.pb", "serving_default", {placeholder(n): name for n, name in enumerate(names)}
    )
    (folder / "assets").mkdir(exist_ok=True)


def parameters(loaded: KerasModel) -> int:
    """How many numbers the model has learned."""
    return int(loaded.model.count_params())


def last_activation(loaded: KerasModel, output: str) -> str | None:
    """The name of the activation that an output ends with, None where the layer has none to tell."""
    for layer in reversed(loaded.model.layers):
        if layer.name == output or len(_output_names(loaded.model)) == 1:
            return (
                getattr(getattr(layer, "activation", None), "__name__", None) or type(layer).__name__.lower()
            )
    return None


def _built(library: Any, source: Source) -> Any:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Keras goes by the suffix, which may be another one.
        path = Path(folder, f"model.{source.format}")
        path.symlink_to(source.path.resolve())
        return library.models.load_model(path, compile=False, safe_mode=True)


def _require_inputs(model: Any, config: Mapping[str, Any]) -> None:
    """Raises `ValueError` for a model without inputs, or with others than its file says."""
    if not getattr(model, "inputs", None):
        raise ValueError(
            "the model was saved before it had inputs; call it on an example, or give its first layer an Input, and "
            "save "
            "it again"
        )
    wanted = keras_config.first_input(config)
    if wanted is not None and wanted != list(model.inputs[0].shape):
        raise ValueError(f"it makes an input of {list(model.inputs[0].shape)} of the file's {wanted}")


def _input_names(model: Any, source: Source) -> list[str]:
    """As the model calls them. Keras 2 named the input of a Sequential after its first layer, and so do its clients."""
    if names := getattr(model, "input_names", None):
        return _distinct([str(name) for name in names])
    names = [tensor._keras_history.operation.name for tensor in model.inputs]
    named = [tensor.name for tensor in model.inputs]
    if type(model).__name__ == "Sequential" and named[0].startswith("keras_tensor") and source.format == "h5":
        names = [f"{model.layers[0].name}_input"]
    return _distinct(
        [other if own.startswith("keras_tensor") else own for own, other in zip(named, names, strict=True)]
    )


def _output_names(model: Any) -> list[str]:
    if names := getattr(model, "output_names", None):
        return _distinct([str(name) for name in names])
    return _distinct([tensor._keras_history.operation.name for tensor in model.outputs])


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, those that are there before with a number."""
    found: list[str] = []
    for name in names:
        number = 1
        new = name
        while new in found:
            new = f"{name}_{number}"
            number += 1
        found.append(new)
    return found


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:250].rstrip(". ") or type(error).__name__
