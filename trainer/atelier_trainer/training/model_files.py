"""Saving a run's model in every format of the tutorial, and restoring it with a check that nothing was lost.

Beside an artifact `NAME` there is a sidecar file `NAME.atelier.npz`. It holds the job, the data's spec, the vocabulary
and what the saved model answered for the test examples. With it a model can be built again from weights
alone, and every restored model can be checked.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf

from atelier_trainer.data.dataset import Examples
from atelier_trainer.data.held_out_file import read_test_file
from atelier_trainer.errors import RunError
from atelier_trainer.job import Job
from atelier_trainer.metrics import measure
from atelier_trainer.training import inference
from atelier_trainer.training.data_spec import Spec
from atelier_trainer.training.encoding import encoding_for
from atelier_trainer.training.fit import Fitted, compiled
from atelier_trainer.training.fit import restore as restore_run
from atelier_trainer.training.run import Run

Format = Literal["weights", "checkpoint", "keras", "h5", "json"]
SUFFIXES: dict[str, str] = {
    "weights": ".weights.h5",
    "checkpoint": "",
    "keras": ".keras",
    "h5": ".h5",
    "json": ".json",
}


@dataclass(frozen=True)
class Restored:
    """A restored model; `reference` are the saved model's answers to the test examples; the job it was trained by."""

    fitted: Fitted
    job: Job
    format: Format
    reference: np.ndarray


def save(run: Run, format: Format, to: Path, data_folder: Path) -> Path:
    """Write the run's model and its sidecar; return the artifact's path. Raises `RunError` for a wrong name."""
    suffix = SUFFIXES[format]
    if not to.name.endswith(suffix) or (format == "h5" and to.name.endswith(".weights.h5")):
        raise RunError(f"--to {to}: an artifact of the format {format} is named *{suffix}.")
    if to.is_dir():
        raise RunError(f"--to {to}: is a folder; give the artifact a name in it.")
    fitted = restore_run(run)
    to.parent.mkdir(parents=True, exist_ok=True)
    model = fitted.model
    if format == "weights":
        model.save_weights(to)
    elif format == "checkpoint":
        tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(str(to))
    elif format == "json":
        to.write_text(model.to_json(indent=1) + "\n")
    else:
        model.save(to)
    test = _test_examples(fitted.spec, data_folder)
    document = {
        "format": format,
        "run": run.name,
        "job": run.job.model_dump(mode="json"),
        "spec": fitted.spec.to_json(),
        "steps": run.document["steps"],
        "words": [word.decode() for word in run.words() or ()],
    }
    with open(_sidecar(to), "wb") as handle:
        np.savez_compressed(
            handle,
            allow_pickle=False,
            document=np.frombuffer(json.dumps(document).encode(), np.uint8),
            **{fitted.spec.output_name: inference.answers(fitted, test)},
        )
    return to


def restore(path: Path) -> Restored:
    """The compiled model of what `save` wrote; of an architecture an untrained one. Raises `RunError`."""
    document, reference = _read_sidecar(path)
    job = Job.model_validate(document["job"])
    spec = Spec.from_json(document["spec"])
    encoding = encoding_for(spec, job.network, [word.encode() for word in document["words"]])
    format = document["format"]
    if format not in get_args(Format):
        raise RunError(f"{_sidecar(path)}: unknown format {format!r}.")
    try:
        model = _load(path, format, job, spec, encoding, document["steps"])
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AssertionError,
        tf.errors.OpError,
        zipfile.BadZipFile,
    ) as error:
        raise RunError(
            f"{path} is damaged or no artifact of the format {format}: {_first_line(error)}"
        ) from None
    return Restored(Fitted(model, encoding, spec, 0, 0), job, format, reference)


def check(restored: Restored, data_folder: Path) -> dict[str, Any]:
    """The restored model's metrics on the test examples, and the largest difference from the saved one's answers."""
    spec = restored.fitted.spec
    test = _test_examples(spec, data_folder)
    answers = inference.answers(restored.fitted, test)
    difference = float(np.abs(answers - restored.reference).max())
    return {
        "format": restored.format,
        **measure.evaluate(spec.task, answers, test.labels),
        "max_abs_diff": difference,
        "equal": difference == 0.0,
    }


def _load(path: Path, format: Format, job: Job, spec: Spec, encoding: Any, steps: int) -> keras.Model:
    if format in ("keras", "h5"):
        return keras.models.load_model(path)
    model = compiled(job, spec, encoding, steps)
    if format == "json":
        model = keras.models.model_from_json(path.read_text())
        if not isinstance(model, keras.Model):
            raise ValueError("it describes no model")
        return model
    # Both formats hold the optimizer's state, too. It can be loaded only after the optimizer's variables are made.
    model.optimizer.build(model.trainable_variables)
    if format == "weights":
        model.load_weights(path)
    else:
        tf.train.Checkpoint(model=model, optimizer=model.optimizer).read(str(path)).assert_consumed()
    return model


def _test_examples(spec: Spec, data_folder: Path) -> Examples:
    return read_test_file(spec.test_file, spec.kind, spec.class_names, spec.features, data_folder)


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.atelier.npz")


def _read_sidecar(path: Path) -> tuple[dict[str, Any], np.ndarray]:
    try:
        with np.load(_sidecar(path), allow_pickle=False) as arrays:
            document = json.loads(arrays["document"].tobytes())
            return document, arrays[Spec.from_json(document["spec"]).output_name]
    except FileNotFoundError:
        if path.suffix in (".onnx", ".tflite"):
            raise RunError(
                f"{path} is for another runtime, and no Keras model comes back from it. It was checked when it was "
                "saved; `--format keras` writes one that can be restored."
            ) from None
        raise RunError(
            f"{_sidecar(path)} is missing: expected what `atelier-trainer save` wrote, its sidecar beside it."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(f"{_sidecar(path)} is damaged: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
