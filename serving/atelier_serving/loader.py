"""Loads a version: its SavedModel, its batcher, its warm-up; counts each."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from atelier_serving.batching.batcher import Batcher, Scheduler
from atelier_serving.batching.parameters import (
    PER_MODEL_FILE,
    BatchingParameters,
    read_batching_parameters,
)
from atelier_serving.flags import Flags, joins
from atelier_serving.inference.row_independence import independent_outputs
from atelier_serving.inference.warmup import warm_up
from atelier_serving.models import manifest
from atelier_serving.models.servable import Servable
from atelier_serving.monitoring.request_metrics import RequestMetrics
from atelier_serving.status import of_exception


class Loader:
    """Loads versions as the flags say."""

    def __init__(
        self,
        flags: Flags,
        batching: BatchingParameters | None,
        metrics: RequestMetrics,
        available: Callable[[], list[tuple[str, int]]],
    ) -> None:
        """`batching` is None without `--enable_batching`. `available` gives the versions that are AVAILABLE."""
        self._flags = flags
        self._batching = batching
        self._scheduler = Scheduler(batching.threads) if batching else None
        self._metrics = metrics
        self._available = available
        self._joins = joins(flags)

    def load(self, folder: Path) -> Servable:
        """Load the version in `folder` and warm it up. Raises `ServingError` or TensorFlow's own errors."""
        path = str(folder)
        began = time.perf_counter()
        try:
            if self._flags.verify_manifest:
                manifest.verify(folder)
            servable = Servable(folder, self._flags, self._batcher(folder))
        except Exception as error:
            self._metrics.loaded(path, of_exception(error).code.name, 0.0)
            raise
        self._metrics.loaded(path, "OK", time.perf_counter() - began)
        self._metrics.forget(self._available())
        try:
            if self._flags.enable_model_warmup:
                began = time.perf_counter()
                records = warm_up(servable, self._flags.num_request_iterations_for_warmup)
                self._metrics.warmed(path, "OK", records, time.perf_counter() - began)
        except BaseException as error:
            servable.close()
            if isinstance(error, Exception):
                self._metrics.warmed(path, of_exception(error).code.name, 0, time.perf_counter() - began)
            raise
        if self._joins:
            servable.independent_outputs = independent_outputs(servable)
        return servable

    def batches(self) -> int | None:
        """How many batches of all models have run; None without batching."""
        return self._scheduler.ran if self._scheduler else None

    def _batcher(self, folder: Path) -> Batcher | None:
        if not (self._scheduler and self._batching):
            return None
        own = folder / PER_MODEL_FILE
        if self._flags.enable_per_model_batching_parameters and own.exists():
            return Batcher(self._scheduler, read_batching_parameters(own))
        return Batcher(self._scheduler, self._batching)
