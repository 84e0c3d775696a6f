"""The server: it loads the models, listens, polls for new versions, and drains when it is stopped."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from atelier_serving import memory
from atelier_serving.batching.parameters import BatchingParameters, read_batching_parameters
from atelier_serving.drain import DRAIN_SECONDS, REFUSE_SECONDS
from atelier_serving.flags import Flags, joins, listen_settings, log_settings, threads, why_not_native
from atelier_serving.grpc.answering import Answering
from atelier_serving.grpc.front import GRPCIO, NATIVE, Front
from atelier_serving.grpc.grpcio_front import GrpcioFront
from atelier_serving.grpc.large_messages import LargeMessages
from atelier_serving.grpc.method import Services
from atelier_serving.grpc.tensorflow_services import tensorflow_services
from atelier_serving.inference.api import Api
from atelier_serving.loader import Loader
from atelier_serving.models import settings as model_settings
from atelier_serving.models.manager import Manager
from atelier_serving.monitoring.access_log import AccessLog
from atelier_serving.monitoring.health import Health
from atelier_serving.monitoring.registry import Snapshot
from atelier_serving.monitoring.request_log import RequestLog
from atelier_serving.monitoring.request_metrics import RequestMetrics
from atelier_serving.monitoring.request_recorder import RequestRecorder
from atelier_serving.monitoring.tracing import start_tracing
from atelier_serving.oip.grpc_service import inference_service
from atelier_serving.oip.http_api import InferenceApi
from atelier_serving.oip.pages import inference_pages
from atelier_serving.oip.served_models import ServedModels
from atelier_serving.rest.answer import Answer
from atelier_serving.rest.api import RestApi
from atelier_serving.rest.bursts import Bursts
from atelier_serving.rest.health_pages import HealthPages
from atelier_serving.rest.http_api import HttpApi
from atelier_serving.rest.index_page import IndexPage
from atelier_serving.rest.server import Pages, RestApp, RestServer, in_thread
from atelier_serving.status import ServingError
from atelier_serving.text_protos import read_text_proto
from atelier_serving.thread_pool import ThreadPool
from atelier_serving.tls import Tls
from atelier_serving.workers.channel import Channel
from atelier_serving.workers.cluster_view import SupervisedClusterView

_log = logging.getLogger(__name__)

_HEALTH_SECONDS = 0.2
_CERTIFICATE_SECONDS = 1.0
# What the logs have at the end to write what waits.
_LOG_SECONDS = 3.0
_METRICS_PATH = "/monitoring/prometheus/metrics"


class Server:
    """The whole service of one process."""

    def __init__(self, flags: Flags, channel: Channel | None = None) -> None:
        """`channel` leads to the supervisor, when there is one. Raises `ServingError` for a wrong file of settings."""
        memory.bound_free_memory()
        self._flags = flags
        self._stopping = threading.Event()
        batching = _batching_parameters(flags)
        self._metrics = RequestMetrics(batching.thread_pool_name if batching else None)
        self._loader = Loader(flags, batching, self._metrics, self._available)
        self._manager = Manager(
            self._loader.load,
            attempts=flags.max_num_load_retries + 1,
            retry_seconds=flags.load_retry_interval_micros / 1e6,
            labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
        )
        self._health = Health(self._manager)
        self._cluster = (
            SupervisedClusterView(channel, self._manager, self._health.available, self._snapshot)
            if channel
            else None
        )
        self._ready = False
        self._tls: Tls | None = None
        self._recorder: RequestRecorder | None = None

    def run(self) -> None:
        """Serve until `stop` is called. Raises `ServingError` or `OSError` when it cannot start."""
        flags = self._flags
        # The server binds its ports first, so that a port in use is noticed at once. It accepts connections last, so
        # that an open port means that the models are loaded. For a worker the supervisor has bound the ports, and gRPC
        # accepts connections as soon as it binds. So a worker binds last, and no client waits for it.
        claimed = None if self._cluster else self._servers()
        if self._cluster:
            self._cluster.start(lambda: model_settings.from_flags(flags), self._stopping)
        else:
            self._manager.start(model_settings.from_flags(flags))
        if self._stopping.is_set():
            return
        grpc_server, rest = claimed or self._servers()
        grpc_server.set_ready(self._health.ready())
        grpc_server.start()
        reason = why_not_native(flags)
        front = f"{GRPCIO}, because {reason}" if reason else NATIVE
        _log.info(f"Running gRPC ModelServer at {flags.host}:{flags.port} ... (front: {front})")
        if rest:
            rest.start(memory.available() // flags.workers)
            _log.info(f"Exporting HTTP/REST API at:{flags.host}:{flags.rest_api_port} ...")
        self._poll_until_stopped(grpc_server)
        self._drain(grpc_server, rest)

    def stop(self) -> None:
        """End `run`. A signal handler may call this."""
        # The event is set in another thread: the signal may have interrupted code that holds the lock of this event.
        threading.Thread(target=self._stop, daemon=True).start()

    def _stop(self) -> None:
        self._stopping.set()
        self._manager.stop()

    def _servers(self) -> tuple[Front, RestServer | None]:
        """The servers, bound to their ports but not yet started."""
        flags = self._flags
        workers = self._flags.workers
        api = Api(
            self._manager,
            self._cluster or self._manager,
            flags.enable_serialization_as_tensor_content,
            Path(flags.reload_from) if flags.reload_from else None,
        )
        pool = ThreadPool(threads(flags), "request")
        recorder = self._make_recorder()
        self._tls = tls = Tls(Path(flags.ssl_config_file)) if flags.ssl_config_file else None
        models = ServedModels(self._manager, self._cluster or self._manager, self._health.ready)
        services = {**tensorflow_services(api), **inference_service(models)}
        grpc_server = _front(flags, services, recorder, pool, tls)
        if not flags.rest_api_port:
            return grpc_server, None
        cors = flags.rest_api_enable_cors_support
        apis: dict[str, HttpApi] = {"/v1/": RestApi(api, cors), "/v2/": InferenceApi(models, cors)}
        pages = {**self._pages(bool(tls)), **inference_pages(models)}
        seconds = flags.rest_api_timeout_in_ms / 1000
        bursts = Bursts(recorder, pool) if joins(flags) else None
        app = RestApp(apis, recorder, pool, pages, seconds, bursts)
        context = tls.context if tls else None
        return grpc_server, RestServer(app, flags.host, flags.rest_api_port, context, workers > 1)

    def _drain(self, grpc_server: Front, rest: RestServer | None) -> None:
        _log.info(f"Draining: requests in flight have {DRAIN_SECONDS:.0f} s; a second signal ends at once.")
        self._health.draining = True
        deadline = time.monotonic() + DRAIN_SECONDS
        grpc_server.refuse()
        if rest:
            rest.refuse()
        time.sleep(REFUSE_SECONDS)
        stopping = threading.Thread(target=rest.stop, args=(DRAIN_SECONDS,)) if rest else None
        if stopping:
            stopping.start()
        grpc_server.stop(DRAIN_SECONDS)
        if stopping:
            stopping.join(max(0.0, deadline - time.monotonic()))
        if self._recorder:
            self._recorder.close(_LOG_SECONDS)
        _log.info("Stopped.")

    def _make_recorder(self) -> RequestRecorder:
        flags = self._flags
        request_log = None
        if flags.request_log_dir:
            request_log = RequestLog(log_settings(flags), self._metrics)
        access_log = AccessLog(flags.access_log_file) if flags.access_log_file else None
        self._recorder = RequestRecorder(self._metrics, access_log, request_log, start_tracing())
        return self._recorder

    def _pages(self, secure: bool) -> Pages:
        host = "localhost" if self._flags.host == "0.0.0.0" else self._flags.host
        target = f"{host}:{self._flags.rest_api_port}"
        index = IndexPage(self._manager, self._cluster or self._manager, target, secure).page

        def metrics(host: str) -> Answer:
            return self._metrics_page()

        health = HealthPages(self._health)
        pages: Pages = {"/healthz": lambda host: health.live(), "/readyz": lambda host: health.ready()}
        pages["/"] = in_thread(index) if self._cluster else index
        if path := _metrics_path(self._flags):
            pages[path] = in_thread(metrics) if self._cluster else metrics
        return pages

    def _metrics_page(self) -> Answer:
        snapshots = self._cluster.snapshots() if self._cluster else [self._snapshot()]
        return Answer(200, self._metrics.registry.text(snapshots).encode(), "text/plain")

    def _snapshot(self) -> Snapshot:
        """This process's metrics."""
        self._metrics.refresh(self._available(), self._loader.batches())
        return self._metrics.registry.snapshot()

    def _available(self) -> list[tuple[str, int]]:
        return [(name, number) for name, numbers in self._health.available().items() for number in numbers]

    def _poll_until_stopped(self, grpc_server: Front) -> None:
        certificates = _Timer(_CERTIFICATE_SECONDS)
        files = _Timer(self._flags.file_system_poll_wait_seconds)
        settings = _Timer(
            self._flags.model_config_file_poll_wait_seconds if self._flags.model_config_file else 0.0
        )
        while not self._stopping.wait(min(files.period, settings.period, _HEALTH_SECONDS)):
            if self._ready != (ready := self._health.ready()):
                self._ready = ready
                grpc_server.set_ready(ready)
            if self._tls and certificates.due():
                self._tls.refresh()
            if files.due():
                self._manager.poll()
            if settings.due():
                self._reread_config()

    def _reread_config(self) -> None:
        try:
            models = model_settings.read_file(Path(self._flags.model_config_file))
            self._manager.configure(models)
            if self._cluster:
                self._cluster.configured(models)
        except ServingError as error:
            _log.error(f"PollFilesystemAndReloadConfig failed to ReloadConfig: {error}")


class _Timer:
    """Is due once in each period. With zero or less it is never due, as in TensorFlow Serving."""

    def __init__(self, seconds: float) -> None:
        self._clock = time.monotonic
        self.period = seconds if seconds > 0 else threading.TIMEOUT_MAX
        self._next = self._clock() + self.period

    def due(self) -> bool:
        if self._clock() + 0.001 < self._next:
            return False
        self._next = self._clock() + self.period
        return True


def _front(
    flags: Flags, services: Services, recorder: RequestRecorder, pool: ThreadPool, tls: Tls | None
) -> Front:
    """The gRPC front, bound to its port."""
    large = LargeMessages()
    answering = Answering(services, recorder, large)
    listen = listen_settings(flags)
    if why_not_native(flags):
        return GrpcioFront(answering, large, listen, pool, tls.credentials if tls else None)
    # It may not be installed.
    from atelier_serving.grpc.bursts import Bursts as CallBursts
    from atelier_serving.grpc.native_front import NativeFront

    bursts = None if flags.enable_batching else CallBursts(answering, recorder)
    return NativeFront(answering, large, listen, pool, threads(flags), bursts)


def _batching_parameters(flags: Flags) -> BatchingParameters | None:
    if not flags.enable_batching:
        return None
    if not flags.batching_parameters_file:
        return BatchingParameters()
    return read_batching_parameters(Path(flags.batching_parameters_file))


def _metrics_path(flags: Flags) -> str:
    """The path of the metrics; empty when they are off. Without --monitoring_config_file: TensorFlow Serving's path."""
    if not flags.monitoring_config_file:
        return _METRICS_PATH
    settings = read_text_proto(Path(flags.monitoring_config_file), "MonitoringConfig").prometheus_config
    return (settings.path or _METRICS_PATH) if settings.enable else ""
