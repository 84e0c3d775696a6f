"""A request that has run and its answer, for the request log."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from atelier_serving.inference.predict import Task
from atelier_serving.monitoring.exchange import Arrays
from atelier_serving.request_context import RequestContext


def exchange_of(context: RequestContext, task: Task, outputs: Mapping[str, np.ndarray]) -> Arrays:
    """A request that ran a task, and its outputs by alias, as a predict request: whatever protocol it came by."""
    aliases = task.servable.inputs[task.signature_name]
    inputs = {alias: array for alias, (_, array) in zip(aliases, task.feeds, strict=True)}
    return Arrays(context.model, context.version, task.signature_name, inputs, outputs)
