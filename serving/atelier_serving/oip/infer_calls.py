"""ModelInfer over gRPC, step by step: a message to a task, and the outputs to a response.

Source: open_inference_grpc.proto. A response is raw when its request was, and when an output has no typed contents:
either all tensors of a message are raw, or none is.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from atelier_serving.inference.exchange import exchange_of
from atelier_serving.inference.predict import Task
from atelier_serving.models.servable import Servable
from atelier_serving.oip.contents import add_contents, from_contents, has_contents
from atelier_serving.oip.datatypes import BY_NUMBER
from atelier_serving.oip.parameters import SIGNATURE, of_message, refuse_foreign, signature_name
from atelier_serving.oip.protos import open_inference_pb2 as pb
from atelier_serving.oip.raw import from_raw, to_raw
from atelier_serving.oip.served_models import ServedModels
from atelier_serving.oip.task import TaskBuilder
from atelier_serving.request_context import current
from atelier_serving.status import invalid
from atelier_serving.tensors import dtype_number


class InferCalls:
    """ModelInfer, whole and in the steps that let small calls run together. All raise `ServingError`."""

    def __init__(self, models: ServedModels) -> None:
        self._models = models

    def infer(self, message: pb.ModelInferRequest) -> pb.ModelInferResponse:
        """GRPCInferenceService.ModelInfer."""
        with self.servable(message) as (servable, version):
            task = self.task(message, servable)
            outputs = task.run()
        context = current()
        if context.keep:
            context.keep(exchange_of(context, task, outputs))
        return self.predicted(message, version, task, outputs)

    def model_key(self, message: pb.ModelInferRequest) -> Hashable:
        """Requests of equal keys ask for the same servable."""
        return message.model_name, message.model_version

    def servable(self, message: pb.ModelInferRequest) -> AbstractContextManager[tuple[Servable, int]]:
        """The servable that a request asks for, kept loaded in the `with` block, and its version."""
        return self._models.use(message.model_name, message.model_version)

    def task(self, message: pb.ModelInferRequest, servable: Servable) -> Task:
        """What a request has to run."""
        # An access to a field of a message costs about as much as a line of Python.
        parameters = of_message(message.parameters) if message.parameters else {}
        builder = TaskBuilder(servable, signature_name(parameters.get(SIGNATURE, "")))
        inputs = message.inputs
        # Each access to the field copies its bytes.
        raw = list(message.raw_input_contents)
        if raw and len(raw) != len(inputs):
            raise invalid(
                f"raw_input_contents has {len(raw)} entries for {len(inputs)} inputs: expected one for each."
            )
        claim = current().claim
        for position, tensor in enumerate(inputs):
            name = tensor.name
            shape = tuple(tensor.shape)
            datatype = builder.expect(name, tensor.datatype, shape)
            if tensor.parameters:
                refuse_foreign(name, of_message(tensor.parameters))
            if not raw:
                array = from_contents(name, datatype, shape, tensor.contents, claim)
            elif tensor.HasField("contents") and tensor.contents.ListFields():
                raise invalid(f'Input "{name}" has contents beside raw_input_contents: send one of the two.')
            else:
                array = from_raw(name, datatype, shape, raw[position], claim)
            builder.feed(name, array)
        outputs = []
        for output in message.outputs:
            outputs.append(output.name)
            if output.parameters:
                refuse_foreign(output.name, of_message(output.parameters))
        return builder.task(outputs)

    def predicted(
        self, message: pb.ModelInferRequest, version: int, task: Task, outputs: Mapping[str, np.ndarray]
    ) -> pb.ModelInferResponse:
        """The response."""
        response = pb.ModelInferResponse(
            model_name=message.model_name, model_version=str(version), id=message.id
        )
        raw = bool(message.raw_input_contents) or not has_contents(
            [array.dtype for array in outputs.values()]
        )
        for name, array in outputs.items():
            datatype = BY_NUMBER[dtype_number(array.dtype)].name
            tensor: Any = response.outputs.add(name=name, datatype=datatype, shape=array.shape)
            if raw:
                response.raw_output_contents.append(to_raw(array))
            else:
                add_contents(array, tensor.contents)
        return response
