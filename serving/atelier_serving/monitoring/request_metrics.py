"""The metrics of this server: TensorFlow Serving's names with their labels, and `atelier_` ones with the version.

TensorFlow Serving's: servables/tensorflow/util.cc:54-88, saved_model_warmup_util.cc, batching/batching_session.cc and
batching_util.h at 2.20.0. They have no label for the version, so that dashboards made for TensorFlow Serving work.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from atelier_serving import memory
from atelier_serving.monitoring.registry import Metric, Registry
from atelier_serving.request_context import RequestContext

# TensorFlow Serving measures latencies in microseconds, in 33 buckets with the bounds 10 * 1.8^k.
_MICROS = tuple(10 * 1.8**k for k in range(33))
_SECONDS = (*(m * 10.0**e for e in range(-5, 1) for m in (1, 2.5, 5)), 10.0, 30.0, 60.0)
_POWERS = tuple(float(2**k) for k in range(15))
_SERVING = ":tensorflow:serving:"
_BATCHING = ":tensorflow:serving:batching_session:"

REQUESTS = Metric(_SERVING + "request_count", ("model_name", "status"))
LATENCY = Metric(_SERVING + "request_latency", ("model_name", "API", "entrypoint"), _MICROS)
RUNTIME = Metric(_SERVING + "runtime_latency", ("model_name", "API", "runtime"), _MICROS)
EXAMPLES = Metric(_SERVING + "request_example_counts", ("model",), _POWERS)
LOGGED = Metric(_SERVING + "request_log_count", ("model_name", "status"))
WARMED = Metric(_SERVING + "model_warmup_latency", ("model_path", "status"), _MICROS)
WARMUP_RECORDS = Metric(_SERVING + "model_warmup_records_read", ("model_path", "status"))
# How often batches ran.
RUNS = Metric(_BATCHING + "wrapped_run_count", ())
QUEUING = Metric(_BATCHING + "queuing_latency", ("thread_pool_name",), _MICROS)
LOADS = Metric(":tensorflow:cc:saved_model:load_attempt_count", ("model_path", "status"))
LOAD_LATENCY = Metric(":tensorflow:cc:saved_model:load_latency", ("model_path",))

_VERSIONED = ("model_name", "model_version", "api", "entrypoint")
SECONDS = Metric("atelier_request_seconds", (*_VERSIONED, "status"), _SECONDS)
# The stages: wait (for a thread), queue (for a batch), run (the session), rest (parsing, encoding, the protocol).
STAGES = Metric("atelier_stage_seconds", (*_VERSIONED, "stage"), _SECONDS)
BATCHES = Metric("atelier_batch_rows", ("model_name", "model_version"), _POWERS)
# By the label that the requests asked by, empty for none: the share of traffic that each label has.
LABELLED = Metric("atelier_label_request_count", ("model_name", "model_version", "label"))
AVAILABLE = Metric(
    "atelier_version_available", ("model_name", "model_version"), kind="gauge", everywhere=True
)
MEMORY = Metric("process_resident_memory_bytes", (), kind="gauge")
CPU = Metric("process_cpu_seconds_total", ())

_ALL = (
    *(
        REQUESTS,
        LATENCY,
        RUNTIME,
        EXAMPLES,
        LOGGED,
        WARMED,
        WARMUP_RECORDS,
        RUNS,
        QUEUING,
        LOADS,
        LOAD_LATENCY,
    ),
    *(SECONDS, STAGES, BATCHES, LABELLED, AVAILABLE, MEMORY, CPU),
)
_BY_VERSION = (SECONDS, STAGES, BATCHES, LABELLED)
_KEPT_VERSIONS = 20
# TensorFlow Serving counts only requests that run a graph. Those of the Open Inference Protocol are the last two.
_INFERENCE = frozenset(
    (
        "Predict",
        "Classify",
        "Regress",
        "MultiInference",
        "predict",
        "classify",
        "regress",
        "ModelInfer",
        "infer",
    )
)


class RequestMetrics:
    """Records metrics in a registry."""

    def __init__(self, thread_pool_name: str | None) -> None:
        """`thread_pool_name` is that of the batching parameters. None without batching."""
        self.registry = Registry(_ALL)
        self._pool = thread_pool_name

    def answered(self, contexts: Sequence[RequestContext], entrypoint: str) -> None:
        """Record requests that have ended: one, or several that have succeeded in the same run of one version.

        `entrypoint` is GRPC or REST. A request for a model that is not served is counted with an empty name: clients
        must not be able to make series.
        """
        now = time.perf_counter()
        first = contexts[0]
        api = first.method
        version = str(first.version) if first.version else ""
        model = first.model
        labels = (model, version, api, entrypoint)
        took = [now - context.started for context in contexts]
        times = len(contexts)
        registry = self.registry
        with registry.lock:
            whole = [seconds + context.waited for seconds, context in zip(took, contexts, strict=True)]
            registry.observe_all(SECONDS, (*labels, first.code), whole)
            if api not in _INFERENCE:
                return
            registry.add(REQUESTS, (model, first.code), times)
            if version:
                for context in contexts:
                    registry.add(LABELLED, (model, version, context.label))
            if first.code != "OK":
                return
            queued, ran = first.queued, first.ran
            registry.observe_all(LATENCY, (model, api, entrypoint), [seconds * 1e6 for seconds in took])
            registry.observe(RUNTIME, (model, api, "TF1"), (queued + ran) * 1e6, times)
            registry.observe_all(STAGES, (*labels, "wait"), [context.waited for context in contexts])
            registry.observe(STAGES, (*labels, "run"), ran, times)
            rest = [max(0.0, seconds - queued - ran) for seconds in took]
            registry.observe_all(STAGES, (*labels, "rest"), rest)
            registry.observe_all(EXAMPLES, (model,), [context.rows for context in contexts])
            if self._pool is not None:
                registry.observe(STAGES, (*labels, "queue"), queued, times)
                registry.observe(QUEUING, (self._pool,), queued * 1e6, times)
                registry.observe(BATCHES, (model, version), first.batch, times)

    def forget(self, available: list[tuple[str, int]]) -> None:
        """Remove the series of old versions: all except `available` ones and the newest of each model.

        Otherwise a server that runs for months would keep some 20 kB for each version, and send it at every scrape.
        """
        registry = self.registry
        with registry.lock:
            seen = {labels[:2] for metric in _BY_VERSION for labels in registry.series(metric) if labels[1]}
            for name in {name for name, _ in seen}:
                numbers = sorted((int(number) for model, number in seen if model == name), reverse=True)
                for number in numbers[_KEPT_VERSIONS:]:
                    if (name, number) not in available:
                        for metric in _BY_VERSION:
                            registry.drop(metric, (name, str(number)))

    def loaded(self, path: str, status: str, seconds: float) -> None:
        """Record one attempt to load a version."""
        with self.registry.lock:
            self.registry.add(LOADS, (path, status))
            if status == "OK":
                self.registry.add(LOAD_LATENCY, (path,), seconds * 1e6)

    def warmed(self, path: str, status: str, records: int, seconds: float) -> None:
        """Record one warm-up."""
        with self.registry.lock:
            self.registry.observe(WARMED, (path, status), seconds * 1e6)
            self.registry.add(WARMUP_RECORDS, (path, status), records)

    def logged(self, model: str, status: str) -> None:
        """Record the result of writing one request to the request log."""
        with self.registry.lock:
            self.registry.add(LOGGED, (model, status))

    def refresh(self, available: list[tuple[str, int]], batches: int | None) -> None:
        """Set what others count: AVAILABLE versions, batches (None without batching), memory and processor time."""
        self.registry.replace(RUNS, {} if batches is None else {(): float(batches)})
        self.registry.replace(AVAILABLE, {(name, str(number)): 1.0 for name, number in available})
        self.registry.replace(MEMORY, {(): float(memory.resident())})
        self.registry.replace(CPU, {(): time.process_time()})
