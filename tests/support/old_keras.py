"""An .h5 file as Keras 2.2.4 wrote it in 2019, by hand: its configuration's keys and the layout of its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


def dense(name: str, units: int, activation: str, inputs: int | None = None) -> dict[str, Any]:
    """A Dense layer's configuration; the first layer of a Sequential has `batch_input_shape`."""
    initializer = {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None}
    first = {} if inputs is None else {"batch_input_shape": [None, inputs], "dtype": "float32"}
    return {
        "class_name": "Dense",
        "config": {
            "name": name,
            "trainable": True,
            **first,
            "units": units,
            "activation": activation,
            "use_bias": True,
            "kernel_initializer": {"class_name": "VarianceScaling", "config": initializer},
            "bias_initializer": {"class_name": "Zeros", "config": {}},
            "kernel_regularizer": None,
            "bias_regularizer": None,
            "activity_regularizer": None,
            "kernel_constraint": None,
            "bias_constraint": None,
        },
    }


def save_2019(path: Path, layers: list[dict[str, Any]], weights: list[NDArray[Any]]) -> Path:
    """Write a Sequential of Dense layers; `weights` are a kernel and a bias for each. Returns the path."""
    config = {"class_name": "Sequential", "config": {"name": "sequential_1", "layers": layers}}
    training = {
        "optimizer_config": {"class_name": "Adam", "config": {"lr": 0.001, "beta_1": 0.9, "decay": 0.0}},
        "loss": "categorical_crossentropy",
        "metrics": ["accuracy"],
        "sample_weight_mode": None,
        "loss_weights": None,
    }
    with h5py.File(path, "w") as file:
        for holder in (file, file.create_group("model_weights")):
            holder.attrs["keras_version"] = np.bytes_("2.2.4")
            holder.attrs["backend"] = np.bytes_("tensorflow")
        file.attrs["model_config"] = np.bytes_(json.dumps(config))
        file.attrs["training_config"] = np.bytes_(json.dumps(training))
        group = file["model_weights"]
        names = [layer["config"]["name"] for layer in layers]
        group.attrs["layer_names"] = np.array([name.encode() for name in names])
        for number, name in enumerate(names):
            parts = [f"{name}/kernel:0", f"{name}/bias:0"]
            layer = group.create_group(name)
            layer.attrs["weight_names"] = np.array([part.encode() for part in parts])
            for part, value in zip(parts, weights[2 * number : 2 * number + 2], strict=True):
                layer.create_dataset(part, data=value)
    return path
