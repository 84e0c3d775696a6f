"""The SavedModel that the conformance suite asks: a signature for each fact of the protocol.

    python -m tests.support.conformance_model FOLDER

writes FOLDER/toy/1 and FOLDER/models.config for a real TensorFlow Serving.
"""

import sys
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tests.support.toy_models import Toy

# Every type that a client can send and get; `type_int8` and so on give back what they got.
TYPES = (
    *(tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64),
    *(tf.float16, tf.bfloat16, tf.float32, tf.float64, tf.complex64, tf.complex128, tf.bool, tf.string),
)
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
# Signatures on the outputs of `examples`: name to (method name, name of the input, alias to output).
DERIVED = {
    "classify": (CLASSIFY, "inputs", {"classes": "classes", "scores": "scores"}),
    "classify_classes": (CLASSIFY, "inputs", {"classes": "classes"}),
    "classify_scores": (CLASSIFY, "inputs", {"scores": "scores"}),
    "classify_three": (CLASSIFY, "inputs", {"classes": "classes", "scores": "scores", "more": "wide"}),
    "classify_renamed": (CLASSIFY, "inputs", {"labels": "classes"}),
    "classify_no_inputs": (CLASSIFY, "examples", {"scores": "scores"}),
    "classify_flat": (CLASSIFY, "inputs", {"scores": "flat"}),
    "classify_wrong_classes": (CLASSIFY, "inputs", {"classes": "scores"}),
    "classify_wrong_scores": (CLASSIFY, "inputs", {"scores": "classes"}),
    "classify_unpaired": (CLASSIFY, "inputs", {"classes": "classes", "scores": "outputs"}),
    "classify_short": (CLASSIFY, "inputs", {"scores": "short"}),
    "regress": (REGRESS, "inputs", {"outputs": "outputs"}),
    "regress_apart": (REGRESS, "inputs", {"outputs": "outputs"}),
    "regress_flat": (REGRESS, "inputs", {"outputs": "flat"}),
    "regress_two": (REGRESS, "inputs", {"outputs": "outputs", "more": "flat"}),
    "regress_renamed": (REGRESS, "inputs", {"value": "outputs"}),
    "regress_no_inputs": (REGRESS, "examples", {"outputs": "outputs"}),
    "regress_wide": (REGRESS, "inputs", {"outputs": "wide"}),
    "regress_integers": (REGRESS, "inputs", {"outputs": "integers"}),
    "regress_short": (REGRESS, "inputs", {"outputs": "short_flat"}),
}
CONFIG = """model_config_list {{ config {{
    name: "toy" base_path: "{base_path}" model_platform: "tensorflow"
    version_labels {{ key: "stable" value: 1 }} version_labels {{ key: "absent" value: 7 }}
}} }}
"""


class Model(Toy):
    """What `Toy` has, tf.Examples, a default value, every type and odd shapes."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def examples(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The float feature `value` (0 when absent) and the int64 feature `bonus`, in many forms."""
        features = {
            "value": tf.io.FixedLenFeature([], tf.float32, 0.0),
            "bonus": tf.io.FixedLenFeature([], tf.int64, 0),
        }
        parsed = tf.io.parse_example(inputs, features)
        flat = parsed["value"] * self.factor + tf.cast(parsed["bonus"], tf.float32)
        scores = tf.stack([flat, 1 - flat], axis=1)
        return {
            "classes": tf.tile([["small", "large"]], [tf.size(flat), 1]),
            "scores": scores,
            "outputs": flat[:, None],
            "flat": flat,
            "wide": scores,
            "integers": tf.cast(flat, tf.int64),
            "short": scores[:1],
            "short_flat": flat[:1],
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="x"),
            tf.TensorSpec([], tf.float32, name="factor"),
        ]
    )
    def defaulted(self, x: tf.Tensor, factor: tf.Tensor) -> dict[str, tf.Tensor]:
        """x times a factor that the signature has a default for."""
        return {"y": x * factor}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def shapes(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Outputs that do not share a batch size, one of them a scalar."""
        return {"double": tf.concat([x, x], 0), "same": x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def total(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """A scalar."""
        return {"sum": tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def to_half(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """A type that JSON has no form for."""
        return {"y": tf.cast(x, tf.float16)}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def matrix(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """A product that needs two columns."""
        return {"y": tf.matmul(x, tf.ones([2, 1]))}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.string, name="text")])
    def bytes(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Strings of any shape, as text and as bytes."""
        return {"raw_bytes": text}


def save_conformance_model(models: Path, version: int = 1) -> Path:
    """Write `models/toy/<version>`; return its folder."""
    model = Model(2.0)
    signatures = {
        "serving_default": model.scale,
        "echo": model.echo,
        "scalar": model.scalar,
        "half": model.half,
        "large": model.large,
        "examples": model.examples,
        # The same once more: its graph has an input of its own, as each signature of a TF2 SavedModel.
        "apart": model.examples,
        "defaulted": model.defaulted,
        "shapes": model.shapes,
        "total": model.total,
        "to_half": model.to_half,
        "matrix": model.matrix,
        "bytes": model.bytes,
    }
    for kind in TYPES:
        signatures[f"type_{kind.name}"] = _identity(kind)
    staging = models / "toy" / f".staging-{version}"
    tf.saved_model.save(model, str(staging), signatures=signatures)
    _derive(staging / "saved_model.pb")
    return staging.rename(models / "toy" / str(version))


def _identity(kind: tf.DType) -> Any:
    @tf.function(input_signature=[tf.TensorSpec(None, kind, name="x")])
    def identity(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.identity(x)}

    return identity


def _derive(path: Path) -> None:
    """Add the signatures that `tf.saved_model.save` cannot write."""
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    definitions = saved.meta_graphs[0].signature_def
    for name, (method, alias, outputs) in DERIVED.items():
        source = definitions["apart" if name.endswith("_apart") else "examples"]
        definition = definitions[name]
        definition.method_name = method
        definition.inputs[alias].CopyFrom(source.inputs["inputs"])
        for output, origin in outputs.items():
            definition.outputs[output].CopyFrom(source.outputs[origin])
    definitions["defaulted"].defaults["factor"].CopyFrom(tf.make_tensor_proto(3.0))
    path.write_bytes(saved.SerializeToString())


def save_config(models: Path) -> Path:
    """Write `models/models.config`: the model with two labels, one of them on a version that is not there."""
    path = models / "models.config"
    path.write_text(CONFIG.format(base_path=models.absolute() / "toy"))
    return path


if __name__ == "__main__":
    print(save_conformance_model(Path(sys.argv[1])), save_config(Path(sys.argv[1])))
