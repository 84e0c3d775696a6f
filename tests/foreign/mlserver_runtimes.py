"""Models for MLServer, run by it in its own environment (tests/support/mlserver.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Echo(MLModel):
    """Answers each input as the output of the same name."""

    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        outputs = [
            ResponseOutput(
                name=item.name,
                shape=item.shape,
                datatype=item.datatype,
                data=item.data,
                parameters=item.parameters,
            )
            for item in payload.inputs
        ]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)


class Logistic(MLModel):
    """A logistic regression, from the coefficients that scikit-learn has found: `weights` [F,C] and `bias` [C]."""

    async def load(self) -> bool:
        with np.load(Path(self.settings.parameters.uri)) as found:
            self._weights, self._bias = found["weights"], found["bias"]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        scores = np.exp(rows @ self._weights + self._bias)
        probabilities = scores / scores.sum(axis=1, keepdims=True)
        output = NumpyCodec.encode_output("probabilities", probabilities)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
