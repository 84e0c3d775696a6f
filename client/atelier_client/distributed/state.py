"""What was counted of one part, as bytes: small, and read without running anything that stands in them."""

from __future__ import annotations

import io
import pickle
import zlib
from dataclasses import dataclass
from typing import Any

from atelier_client.evaluation.findings import Findings, Measures
from atelier_client.evaluation.passes.evaluate import EvaluationResult
from atelier_client.evaluation.slices import Slice

# Protocol 4 makes arrays by these alone.
_ALLOWED = {
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *(
        (f"atelier_client.evaluation.{module}", name)
        for module, names in {
            "slices": ("Slice",),
            "classification.findings": ("ClassificationFindings",),
            "classification.metrics": ("MetricCounts",),
            "classification.calibration": ("Calibration",),
            "classification.curves": ("Scores",),
            "classification.mistakes": ("Mistake", "Mistakes"),
            "regression.findings": ("RegressionFindings", "Miss"),
            "regression.metrics": ("Errors",),
            "multi_label.findings": ("MultiLabelFindings", "WrongSet"),
            "multi_label.metrics": ("LabelCounts",),
        }.items()
        for name in names
    ),
}


@dataclass(frozen=True)
class PartState:
    """The findings, slices (with the values that columns had) and latencies of so many examples."""

    findings: Findings
    slices: dict[Slice, Measures]
    values: dict[str, set[str]]
    latencies: list[float]
    examples: int

    @classmethod
    def of(cls, result: EvaluationResult) -> PartState:
        """What a result holds."""
        return cls(
            result.findings,
            result.slices.counts,
            result.slices.masks.values,
            result.latencies,
            result.examples,
        )

    def add_to(self, result: EvaluationResult) -> None:
        """Add the part to the result of the parts before it."""
        result.findings.merge(self.findings)
        result.slices.masks.know(self.values)
        result.slices.merge(self.slices)
        result.latencies += self.latencies
        result.examples += self.examples

    def packed(self) -> bytes:
        """As bytes."""
        fields = (self.findings, self.slices, self.values, self.latencies, self.examples)
        return zlib.compress(pickle.dumps(fields, protocol=4), 1)

    @classmethod
    def unpacked(cls, data: bytes) -> PartState:
        """Of such bytes. Raises `ValueError` for others."""
        try:
            return cls(*_Unpickler(io.BytesIO(zlib.decompress(data))).load())
        except (zlib.error, pickle.UnpicklingError, EOFError, AttributeError, TypeError, IndexError) as error:
            raise ValueError(f"no counts of a part: {error}") from None


class _Unpickler(pickle.Unpickler):
    """Makes arrays and counts, nothing else: a file that someone else left there cannot run anything."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of counts")
        return super().find_class(module, name)
