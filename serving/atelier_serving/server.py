"""The server: load first, then listen; poll; drain on SIGTERM."""

from __future__ import annotations

import threading
from pathlib import Path

from atelier_serving import config
from atelier_serving.api import Api
from atelier_serving.flags import Flags
from atelier_serving.grpc_server import GrpcServer
from atelier_serving.manager import Manager
from atelier_serving.rest import RestServer
from atelier_serving.rest_api import RestApi
from atelier_serving.servable import Servable
from atelier_serving.status import ServingError
from atelier_serving.version import print_state
from atelier_serving.warmup import warm_up

DRAIN_SECONDS = 10.0


class Server:
    """One process's whole service, from flags."""

    def __init__(self, flags: Flags) -> None:
        self._flags = flags
        self._stopping = threading.Event()
        self._manager = Manager(
            self._load,
            attempts=flags.max_num_load_retries + 1,
            retry_seconds=flags.load_retry_interval_micros / 1e6,
            labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
        )

    def run(self) -> None:
        """Serve until `stop` is called. Raises `ServingError` or `OSError` when it cannot start."""
        flags = self._flags
        api = Api(self._manager, flags.enable_serialization_as_tensor_content)
        # The ports are claimed first, so that a taken one is known at once, and answer last: an open port means that
        # the configured models do.
        grpc_server = GrpcServer(api, flags.host, flags.port, flags.grpc_max_threads)
        rest = None
        if flags.rest_api_port:
            routes = RestApi(api, cors=flags.rest_api_enable_cors_support)
            rest = RestServer(routes, flags.host, flags.rest_api_port)
        self._manager.start(config.from_flags(flags))
        if self._stopping.is_set():
            return
        grpc_server.start()
        print_state(f"Running gRPC ModelServer at {flags.host}:{flags.port} ...")
        if rest:
            rest.start()
            print_state(f"Exporting HTTP/REST API at:{flags.host}:{flags.rest_api_port} ...")
        self._poll_until_stopped()
        print_state(f"Draining: requests in flight have {DRAIN_SECONDS:.0f} s; a second signal ends at once.")
        grpc_server.stop(DRAIN_SECONDS)
        if rest:
            rest.stop(DRAIN_SECONDS)
        print_state("Stopped.")

    def stop(self) -> None:
        """End `run`: safe to call from a signal handler."""
        self._stopping.set()
        self._manager.stop()

    def _load(self, folder: Path) -> Servable:
        servable = Servable(folder, self._flags)
        try:
            if self._flags.enable_model_warmup:
                warm_up(servable, self._flags.num_request_iterations_for_warmup)
        except BaseException:
            servable.close()
            raise
        return servable

    def _poll_until_stopped(self) -> None:
        files = _Timer(self._flags.file_system_poll_wait_seconds)
        settings = _Timer(
            self._flags.model_config_file_poll_wait_seconds if self._flags.model_config_file else 0.0
        )
        while not self._stopping.wait(min(files.period, settings.period)):
            if files.due():
                self._manager.poll()
            if settings.due():
                self._reread_config()

    def _reread_config(self) -> None:
        try:
            models = config.read_file(Path(self._flags.model_config_file))
            self._manager.configure(models)
        except ServingError as error:
            print_state(f"PollFilesystemAndReloadConfig failed to ReloadConfig: {error}")


class _Timer:
    """Due once a period; a period of zero or less is never due (TensorFlow Serving: polled once, or never)."""

    def __init__(self, seconds: float) -> None:
        import time

        self._clock = time.monotonic
        self.period = seconds if seconds > 0 else threading.TIMEOUT_MAX
        self._next = self._clock() + self.period

    def due(self) -> bool:
        if self._clock() + 0.001 < self._next:
            return False
        self._next = self._clock() + self.period
        return True
