"""The version as it was written, loaded back: its answers to the examples, and the files that are made of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from atelier_trainer.data.columns import Column
from atelier_trainer.data.dataset import DataSet, Examples
from atelier_trainer.errors import AtelierTrainerError, ImportRefused
from atelier_trainer.importing.examples.given import Given
from atelier_trainer.importing.purpose import Purpose, probabilities, without_last_one
from atelier_trainer.metrics import classification, multi_label, regression
from atelier_trainer.publishing.exported_model import EVALUATION_BATCH, ExportedModel
from atelier_trainer.publishing.extra_assets import GOLDEN_EXAMPLES, predict_log, save_golden
from atelier_trainer.publishing.model_signature import DEFAULT, Signature
from atelier_trainer.reference.document import reference, write_reference

# Everything that a model may raise when it is loaded or run: it is somebody else's graph.
_FAILURES = (tf.errors.OpError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError)


class Measured:
    """A version in its staging folder, asked by the signature that is measured."""

    def __init__(self, folder: Path, signature: Signature) -> None:
        """Raises `ImportRefused` when it does not load."""
        self._folder = folder
        self._signature = signature
        try:
            self._exported = ExportedModel(folder)
        except AtelierTrainerError as error:
            raise ImportRefused(f"The model does not load: {str(error).removeprefix(str(folder))}") from None
        except _FAILURES as error:
            raise ImportRefused(f"The model does not load: {_line(error)}.") from None
        sizes = {tensor.shape[0] for tensor in signature.inputs.values() if tensor.shape}
        self._rows = next((size for size in sizes if size is not None), None)

    def answers(self, given: Given, output: str) -> np.ndarray | None:
        """[N,..] of one output; None for a model that takes a number of rows that the examples are not.

        Raises `ImportRefused` for another number of rows, and where rows with labels are answered with no number.
        """
        if self._rows is not None and self._rows != 1:
            return None
        at_once = self._rows or EVALUATION_BATCH
        parts = [self._ask(_rows(given, start, at_once))[output] for start in range(0, len(given), at_once)]
        answers = np.concatenate(parts) if parts[0].ndim else np.array(parts)
        if len(answers) != len(given):
            raise ImportRefused(
                f"The output {output} has {len(answers):,} rows for {len(given):,} examples; --output NAME chooses "
                "another."
            )
        if given.labels is not None and not np.isfinite(answers).all():
            row = int(np.argwhere(~np.isfinite(answers))[0][0])
            floats = [values[row] for values in given.inputs.values() if values.dtype.kind == "f"]
            missing = any(not np.isfinite(values).all() for values in floats)
            why = ", which has NaN or an infinity itself; remove the row, or fill it" if missing else ""
            raise ImportRefused(
                f"The model answers no finite number in the output {output} for row {row + 1} of the examples{why}."
            )
        return answers

    def limited(self, purpose: Purpose) -> Purpose:
        """What cannot be measured for a model that takes one number of rows and no other."""
        if self._rows is None or purpose.unmeasured:
            return purpose
        why = f"the model takes {self._rows} row{'s' * (self._rows != 1)} at a time and no other number"
        return dataclasses.replace(purpose, unmeasured=why)

    def metrics(self, purpose: Purpose, answers: np.ndarray | None) -> dict[str, Any]:
        """The card's metrics, empty where nothing is measured."""
        if purpose.unmeasured or answers is None or purpose.labels is None:
            return {}
        labels, rows = purpose.labels, {"examples": len(purpose.labels)}
        # Each step of a sequence counts as one.
        if purpose.task == "classification":
            shown = probabilities(answers)
            return classification.evaluate(shown.reshape(-1, shown.shape[-1]), labels.reshape(-1)) | rows
        if purpose.task == "multi_label":
            classes = labels.shape[-1]
            return multi_label.evaluate(answers.reshape(-1, classes), labels.reshape(-1, classes)) | rows
        return regression.evaluate(answers.reshape(-1), labels.reshape(-1)) | rows

    def write_extra(
        self, model: str, given: Given | None, purpose: Purpose, answers: np.ndarray | None
    ) -> None:
        """Warm-up requests, golden examples and the reference, each where the examples allow it."""
        extra = self._folder / "assets.extra"
        extra.mkdir(exist_ok=True)
        if given is None or len(given) < (self._rows or 1):
            return
        first = _rows(given, 0, self._rows or 1)
        asked: list[list[str]] = [
            [],
            *([[purpose.output]] if purpose.output and len(self._signature.outputs) > 1 else []),
        ]
        with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
            for wanted in asked:
                writer.write(predict_log(model, self._signature.name, first, wanted))
        if self._signature.name == DEFAULT:
            golden = _rows(given, 0, self._rows or GOLDEN_EXAMPLES)
            # NumPy has no bfloat16 of its own, which a file could hold.
            outputs = {name: value for name, value in self._ask(golden).items() if value.dtype.kind != "V"}
            save_golden(extra / "golden.npz", golden, outputs)
        labels = purpose.labels
        one_each = (
            purpose.task in ("classification", "regression") and labels is not None and labels.ndim == 1
        )
        if one_each and purpose.unmeasured is None and answers is not None:
            said = without_last_one(answers) if purpose.task == "regression" else probabilities(answers)
            document = reference(
                _data_set(given, purpose), said, model=model, run_id=None, prediction=purpose.output
            )
            write_reference(extra / "reference.json", document)

    def _ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return self._exported.predict(inputs, self._signature.name)
        except _FAILURES as error:
            raise ImportRefused(f"The model does not take the examples: {_line(error)}.") from None


def _data_set(given: Given, purpose: Purpose) -> DataSet:
    """The examples as the reference describes them: texts, columns, or pictures; of other arrays only the labels."""
    assert purpose.labels is not None
    kind = given.input.get("kind")
    columns = tuple(given.input.get("columns", ())) if kind == "table" else ()
    kinds = given.input.get("kinds")
    features: tuple[Column, ...] = ()
    (first, *_) = given.inputs.values()
    inputs: np.ndarray = first.reshape(len(first), -1)
    if kinds:
        features = tuple(Column(name, kinds[name]) for name in columns)
        inputs = np.empty(
            len(first), [(name, object if kinds[name] == "category" else np.float64) for name in columns]
        )
        for name in columns:
            values = given.inputs[name].ravel()
            inputs[name] = (
                [cell.decode(errors="replace") for cell in values] if kinds[name] == "category" else values
            )
    elif kind == "text":
        inputs = first.ravel()
    elif kind == "image" and first.dtype == np.uint8:
        inputs = first
    elif kind == "image":
        inputs = np.rint(first * 255).astype(np.uint8)
    examples = Examples(inputs, purpose.labels, given.sha256)
    return DataSet(
        name="",
        kind=kind if kind in ("text", "image") else "table",
        class_names=purpose.class_names,
        shape=(),
        train=examples,
        test=examples,
        test_file={},
        columns=columns,
        features=features,
        task="regression" if purpose.task == "regression" else "classification",
    )


def _rows(given: Given, start: int, count: int) -> dict[str, np.ndarray]:
    return {name: value[start : start + count] for name, value in given.inputs.items()}


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:250].rstrip(". ") or type(error).__name__
