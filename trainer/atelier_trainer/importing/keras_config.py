"""The configuration in a Keras file, read without building the model: what it is made of, and whether it needs code.

A Lambda layer's function is Python code in the file, which would be run here and in nobody's sandbox; a custom layer's
code is not in the file at all.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from atelier_trainer.errors import ImportRefused
from atelier_trainer.importing.source import Source

_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    EOFError,
    RecursionError,
    zipfile.BadZipFile,
)
_ADVICE = (
    "where its code is, save it as a SavedModel (model.export(folder)) and import that, or compute the same with "
    "Keras's "
    "own layers"
)
# 1/255 and 1/127.5 are below, 2 (of pixels in [0,1]) is above; some divide by less than 127.5.
_MOST_SCALE = 0.05
# Models, and what stands where layers do.
_MODELS = (
    "Sequential",
    "Functional",
    "Model",
    "TFOpLambda",
    "SlicingOpLambda",
    "ClassMethod",
    "InstanceMethod",
)


def read(source: Source) -> dict[str, Any]:
    """The model's configuration. Raises `ImportRefused` when the file is damaged or holds weights alone."""
    try:
        text = _of_archive(source) if source.format == "keras" else _of_hdf5(source)
        config = json.loads(text)
    except ImportRefused:
        raise
    except _DAMAGED as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ImportRefused(
            f"{source.path} cannot be read: it is damaged or cut short ({reason}). Copy it again from where it was "
            "saved."
        ) from None
    if not isinstance(config, dict) or "class_name" not in config:
        raise ImportRefused(f"{source.path}: its configuration describes no model.")
    return config


def keras_version(source: Source) -> str:
    """The version of Keras that wrote the file, empty when it does not say. Call after `read`."""
    if source.format == "keras":
        with zipfile.ZipFile(source.path) as archive:
            try:
                return str(json.loads(archive.read("metadata.json"))["keras_version"])
            except _DAMAGED:
                return ""
    import h5py

    with h5py.File(source.path, "r") as file:
        version = file.attrs.get("keras_version", "")
        return version.decode(errors="replace") if isinstance(version, bytes) else str(version)


def first_input(config: Mapping[str, Any]) -> list[int | None] | None:
    """The shape, with the batch, that a Sequential's first layer was given; None where it does not show."""
    inside = config.get("config")
    layers = inside.get("layers") if isinstance(inside, Mapping) else inside
    if config.get("class_name") != "Sequential" or not isinstance(layers, list) or not layers:
        return None
    first = layers[0].get("config") if isinstance(layers[0], Mapping) else None
    shape = first.get("batch_input_shape") if isinstance(first, Mapping) else None
    return list(shape) if isinstance(shape, list) else None


def require_no_lambda(source: Source, config: Mapping[str, Any]) -> None:
    """Raises `ImportRefused` for a model with a Lambda layer: to load it would be to run code from the file."""
    for part in _objects(config):
        if part.get("class_name") in ("Lambda", "__lambda__"):
            inside = part.get("config")
            name = f" ({inside['name']})" if isinstance(inside, Mapping) and "name" in inside else ""
            raise ImportRefused(
                f"{source.path} has a Lambda layer{name}, whose Python code would have to be run to load it, and is "
                "not: "
                f"{_ADVICE}."
            )


def custom(source: Source, config: Mapping[str, Any], libraries: Sequence[Any]) -> ImportRefused | None:
    """The error for a model, loaded by none of the libraries, that has a layer which none of them has."""
    known = {name for library in libraries for name in dir(library.layers)} | set(_MODELS)
    names = sorted({name for part in _layers(config) if (name := str(part.get("class_name"))) not in known})
    if not names:
        return None
    return ImportRefused(
        f"{source.path} needs the class{'es' * (len(names) > 1)} {', '.join(names)}, whose code is not in the file: "
        f"{_ADVICE}."
    )


def divides_pixels(config: Any) -> bool:
    """Whether a Rescaling layer brings 0 to 255 to about 1: one that multiplies numbers of another size does not."""
    for part in _objects(config):
        inside = part.get("config")
        if part.get("class_name") == "Rescaling" and isinstance(inside, Mapping):
            scale = inside.get("scale")
            factors = scale if isinstance(scale, list) else [scale]
            if all(isinstance(one, (int, float)) and 0 < abs(one) < _MOST_SCALE for one in factors):
                return True
    return False


def _layers(config: Any) -> Iterator[Mapping[str, Any]]:
    """The layers and models of a configuration, those within others too. An operation of Keras 3 is none."""
    for part in _objects(config):
        for key in ("layers", "layer", "backward_layer", "cell", "cells"):
            value = part.get(key)
            for item in value if isinstance(value, list) else [value]:
                if not isinstance(item, Mapping) or "class_name" not in item:
                    continue
                if not str(item.get("module")).startswith(("keras.", "tf_keras.")):
                    yield item


def _objects(config: Any) -> Iterator[Mapping[str, Any]]:
    """Every object within a configuration, the outermost first."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _of_archive(source: Source) -> bytes:
    with zipfile.ZipFile(source.path) as archive:
        if (broken := archive.testzip()) is not None:
            raise ValueError(f"{broken} has another checksum than was written")
        if "config.json" not in archive.namelist():
            raise ImportRefused(f"{source.path} is a zip archive without config.json, so no .keras file.")
        return archive.read("config.json")


def _of_hdf5(source: Source) -> str | bytes:
    import h5py

    with h5py.File(source.path, "r") as file:
        text = file.attrs.get("model_config")
        if text is None:
            raise ImportRefused(
                f"{source.path} holds weights alone, without the model that they belong to: save the whole model "
                "(model.save(path), not save_weights)."
            )
        return text
