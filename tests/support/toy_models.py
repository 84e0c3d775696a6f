"""SavedModels of a line or two, for the facts of the protocol that a classifier does not show."""

from pathlib import Path

import tensorflow as tf


class Toy(tf.Module):
    """A variable and an echo of several types."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = tf.Variable(factor)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def scale(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """x times the factor."""
        return {"y": x * self.factor}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="text"),
            tf.TensorSpec([None], tf.int64, name="number"),
        ]
    )
    def echo(self, text: tf.Tensor, number: tf.Tensor) -> dict[str, tf.Tensor]:
        """Two inputs, three outputs."""
        return {"text": text, "raw_bytes": text, "number": number + 1}

    @tf.function(input_signature=[tf.TensorSpec([], tf.bool, name="flag")])
    def scalar(self, flag: tf.Tensor) -> dict[str, tf.Tensor]:
        """A tensor without a batch."""
        return {"flag": tf.logical_not(flag)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float16, name="x")])
    def half(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """float16 both ways."""
        return {"y": x + tf.constant(1, tf.float16)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="size")])
    def large(self, size: tf.Tensor) -> dict[str, tf.Tensor]:
        """As many float32 ones as asked for."""
        return {"ones": tf.ones([size[0]])}


def save_toy(models: Path, name: str = "toy", version: int = 1, factor: float = 2.0) -> Path:
    """Write a version under its final name in one step; return its folder."""
    toy = Toy(factor)
    signatures = {
        "serving_default": toy.scale,
        "echo": toy.echo,
        "scalar": toy.scalar,
        "half": toy.half,
        "large": toy.large,
    }
    staging = models / name / f".staging-{version}"
    tf.saved_model.save(toy, str(staging), signatures=signatures)
    return staging.rename(models / name / str(version))


class Regressor(tf.Module):
    """Half of feature x, as the Regress API wants it."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialized tf.Example in, a number a row out."""
        parsed = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})
        return {"outputs": parsed["x"] / 2}


def save_regressor(models: Path, name: str = "half") -> Path:
    """Write version 1 with the method name that TensorFlow Serving's Regress looks for; return its folder."""
    from tensorflow.core.protobuf import saved_model_pb2

    model, folder = Regressor(), models / name / "1"
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.regress})
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    saved.meta_graphs[0].signature_def["serving_default"].method_name = "tensorflow/serving/regress"
    path.write_bytes(saved.SerializeToString())
    return folder
