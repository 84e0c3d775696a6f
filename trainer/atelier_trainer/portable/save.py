"""Saving in a portable format: export, convert, check with the golden examples, and only then write."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from atelier_trainer.data.held_out_file import read_test_file
from atelier_trainer.errors import FormatRefused
from atelier_trainer.files import write_durably
from atelier_trainer.portable import litert, onnx
from atelier_trainer.publishing.export import export
from atelier_trainer.publishing.exported_model import ExportedModel
from atelier_trainer.publishing.extra_assets import write_golden
from atelier_trainer.publishing.signature_names import placeholder
from atelier_trainer.quiet import lines_of_c_hidden
from atelier_trainer.training.data_spec import Spec
from atelier_trainer.training.fit import restore
from atelier_trainer.training.run import Run

Portable = Literal["onnx", "litert"]
Arrays = dict[str, np.ndarray]
# The same as between trainer and server (docs/contracts.md): other sums in another order.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class _Format:
    """`convert` makes the file's bytes of a SavedModel, `run` answers named inputs with them."""

    title: str
    suffix: str
    packages: tuple[str, ...]
    convert: Callable[[Path, Mapping[str, str]], bytes]
    run: Callable[[bytes, Mapping[str, np.ndarray]], Arrays]


FORMATS: dict[str, _Format] = {
    "onnx": _Format("ONNX", ".onnx", ("onnx", "onnxruntime", "tf2onnx"), onnx.convert, onnx.run),
    "litert": _Format("LiteRT", ".tflite", ("ai_edge_litert",), litert.convert, litert.run),
}


def save(run: Run, format: Portable, to: Path, data_folder: Path) -> float:
    """Write `serving_default` of the run's model; return the largest difference from TensorFlow's golden answers.

    Raises `FormatRefused` for what cannot be converted or answers otherwise; then there is no file.
    """
    chosen = FORMATS[format]
    _require(chosen, format, to)
    fitted = restore(run)
    spec = fitted.spec
    _require_numbers(run, spec, chosen.title)
    examples = read_test_file(spec.test_file, spec.kind, spec.class_names, spec.features, data_folder)
    with tempfile.TemporaryDirectory() as folder:
        version = Path(folder, "version")
        golden = Path(folder, "golden.npz")
        with lines_of_c_hidden():
            export(fitted.model, fitted.encoding, spec, version)
            write_golden(golden, ExportedModel(version), spec, examples.inputs)
        with np.load(golden, allow_pickle=False) as arrays:
            inputs = _named(arrays, "inputs/")
            wanted = _named(arrays, "outputs/")
        names = {placeholder(number): column.name for number, column in enumerate(spec.features)}
        try:
            with lines_of_c_hidden():
                content = chosen.convert(version, names)
                answers = chosen.run(content, inputs)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise FormatRefused(
                f"{run.name} cannot be saved as {chosen.title}: {reason} `--format keras` keeps the whole network."
            ) from None
    difference = _difference(answers, wanted, chosen.title)
    to.parent.mkdir(parents=True, exist_ok=True)
    write_durably(to, content)
    return difference


def _require(chosen: _Format, format: str, to: Path) -> None:
    if not to.name.endswith(chosen.suffix) or to.is_dir():
        raise FormatRefused(f"--to {to}: a file of the format {format} is named *{chosen.suffix}.")
    missing = [name for name in chosen.packages if not _is_installed(name)]
    if missing:
        raise FormatRefused(
            f"--format {format} needs {', '.join(missing)}: pip install 'atelier-trainer[{format}]'."
        )


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False


def _require_numbers(run: Run, spec: Spec, title: str) -> None:
    """Raises `FormatRefused` for inputs of text: words and categories are looked up in tables of strings."""
    texts = [column.name for column in spec.features if column.kind == "category"]
    if spec.kind == "text":
        texts = [spec.input_name]
    if texts:
        raise FormatRefused(
            f"{run.name} cannot be saved as {title}: its inputs of text ({', '.join(texts)}) are looked up in tables "
            "of strings, for which the converters have no operations. Serve the SavedModel, or take `--format keras`, "
            "whose network begins after the look-up, and look up in your program."
        )


def _named(arrays: Mapping[str, np.ndarray], prefix: str) -> Arrays:
    return {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}


def _difference(answers: Arrays, wanted: Arrays, title: str) -> float:
    """The largest difference of the numbers. Raises `FormatRefused` when it is too large, or a class is another."""
    if set(answers) != set(wanted):
        raise FormatRefused(
            f"{title} answers {', '.join(sorted(answers))}, expected {', '.join(sorted(wanted))}. No file was written."
        )
    largest = 0.0
    for name, right in wanted.items():
        answer = answers[name]
        if right.dtype.kind == "f":
            scale = np.maximum(1.0, np.abs(right))
            difference = float((np.abs(answer - right) / scale).max()) if right.size else 0.0
            # A NaN is no difference that could be small.
            equal = difference <= TOLERANCE
            largest = max(largest, difference)
        else:
            equal = np.array_equal(answer.astype(right.dtype), right)
        if answer.shape != right.shape or not equal:
            raise FormatRefused(
                f"{title} answers the golden examples otherwise than TensorFlow ({name}): what was converted is not "
                "the same model. No file was written."
            )
    return largest
