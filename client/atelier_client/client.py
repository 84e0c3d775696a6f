"""The blocking client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from atelier_client._arguments import check_token, shown
from atelier_client._core import DEFAULT_TIMEOUT, Core, Inputs
from atelier_client._routine import Call, Gather, Pause, Routine
from atelier_client._targets import Target, parse_targets
from atelier_client._trace_context import TraceParent
from atelier_client.errors import ServerError, SettingsError
from atelier_client.messages.tf_example import FeatureRows
from atelier_client.model_config import ServedModel
from atelier_client.responses import Prediction, VersionStatus
from atelier_client.retry import Retry
from atelier_client.signature import Signature
from atelier_client.tls import TLS
from atelier_client.transports.base import Transport
from atelier_client.transports.grpc import GrpcTransport, Token

if TYPE_CHECKING:
    from atelier_client.request_log.recorder import Recorder

T = TypeVar("T")


class Client:
    """Connections to one or several model servers; thread-safe; close it, or use it as a context manager.

        with Client("127.0.0.1:8500", "shoes") as client:
            labels = client.predict(images)["label"]

    `target` is HOST:PORT, unix:/PATH, http://HOST:PORT or https://HOST:PORT (REST), or several of them (a sequence, or
    commas between). Requests go to them in turn, without those that are dead. A host name with several addresses
    counts as several targets. v2+grpc://HOST:PORT, v2+unix:/PATH, v2+http://HOST:PORT and v2+https://HOST:PORT are
    asked by the Open Inference Protocol (Triton, OpenVINO Model Server, KServe, MLServer, the embedded server). The
    client connects at the first call.

    `timeout` (seconds) limits each request with its retries (see `Retry`). `tls` turns on encryption: True trusts the
    authorities that this machine trusts, `TLS` has more settings. `token` is sent as `authorization: Bearer`; a
    function is called for it before each request. Without encryption it is sent only to this machine. `proxy` allows
    the proxy of the environment. `connect` makes the transport of a target, for tests (see `atelier_client.testing`).

    `recorder` keeps a sample of the requests (`atelier_client.request_log.Recorder`; it is the caller's to close).
    `traceparent` (W3C Trace Context) goes with each predict, classify and regress request: a text, or a function that
    is asked each time and may return None. Without it that of an active OpenTelemetry span goes, or none.

    Raises `SettingsError` for settings that cannot work.
    """

    def __init__(
        self,
        target: str | Sequence[str],
        model: str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        retry: Retry | None = None,
        tls: TLS | bool = False,
        token: Token | None = None,
        proxy: bool = False,
        recorder: Recorder | None = None,
        traceparent: TraceParent | None = None,
        connect: Callable[[Target], Transport] | None = None,
    ) -> None:
        targets = parse_targets(target)
        self._core = Core(targets, model, timeout, Retry() if retry is None else retry, recorder, traceparent)
        self.target = self._core.target
        self.model = model
        self.timeout = timeout
        make = connect or (lambda item: make_transport(item, tls, token, proxy))
        self._transports = [make(item) for item in targets]
        # Another client of the same servers, with connections of its own.
        self._again = partial(Client, target, model, tls=tls, token=token, proxy=proxy, connect=connect)
        self._closed = False

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; calls under way end. Waits until a recorder has written what waits, at most 5 s."""
        self._closed = True
        for transport in self._transports:
            transport.close()
        if self._core.recorder is not None:
            self._core.recorder.flush()

    def predict(
        self,
        inputs: Inputs,
        *,
        signature: str = "serving_default",
        outputs: Sequence[str] = (),
        version: int | None = None,
        label: str | None = None,
        rows_per_request: int | None = None,
    ) -> Prediction:
        """Predict named arrays, or the array of the only input, with any number of rows.

        Inputs are arrays, nested lists, str or bytes. They must fit the served signature: its names, its shapes, and
        its dtypes after a cast that keeps every value. `outputs` are the outputs to return; all when empty. Rows are
        split into requests of a measured size, or of `rows_per_request` rows; several are in flight at once. Raises
        `InputError` before anything is sent, else a `ServerError`.
        """
        return self._run(self._core.predict(inputs, signature, outputs, version, label, rows_per_request))

    def classify(
        self,
        rows: FeatureRows,
        *,
        signature: str | None = None,
        version: int | None = None,
        label: str | None = None,
        rows_per_request: int | None = None,
    ) -> Prediction:
        """Classify rows of features: returns `classes` (bytes, [N,K]) and `scores` (float32, [N,K]).

        A row is a mapping from feature to value; or all rows are one mapping from feature to an array [N,...]. They
        are sent as tf.Example. Without `signature` the model's only classify signature is used. Raises as `predict`.
        """
        return self._run(self._core.classify(rows, signature, version, label, rows_per_request))

    def regress(
        self,
        rows: FeatureRows,
        *,
        signature: str | None = None,
        version: int | None = None,
        label: str | None = None,
        rows_per_request: int | None = None,
    ) -> Prediction:
        """As `classify`, for a regress signature: returns `outputs` (float32, [N])."""
        return self._run(self._core.regress(rows, signature, version, label, rows_per_request))

    def metadata(self, *, version: int | None = None, label: str | None = None) -> dict[str, Signature]:
        """The signatures of the model by name. They are read once, and again when inputs do not fit them."""
        return self._run(self._core.metadata(version, label))

    def status(self) -> list[VersionStatus]:
        """Every version that the server has seen, highest first. In state END a version was unloaded or has failed."""
        return self._run(self._core.status())

    def newest_available(self) -> int:
        """The version that serves requests without a version: the newest that all servers have AVAILABLE.

        A server that cannot be reached is passed over. Raises `ModelNotFound` when there is none.
        """
        return self._run(self._core.newest_available())

    def version_of(self, label: str) -> int:
        """The version that a label names. Raises `InvalidRequest` when the model has no such label."""
        return self._run(self._core.version_of(label))

    def wait_ready(self, seconds: float, version: int | None = None) -> int:
        """Wait until a version (that one, when given) is AVAILABLE on every replica; return it. Raises `TimedOut`."""
        return self._run(self._core.wait_ready(seconds, version))

    def reload(self, config: Sequence[ServedModel] | bytes) -> None:
        """Replace what is served, on every replica in turn: models that are not listed are unloaded.

        `config` lists the models, or is a serialized `ModelServerConfig`, for what `ServedModel` does not hold.
        It is never sent twice to a server that may have received it. After `NotReachable` or `TimedOut`, ask for
        `status`. A server waits for new models before it responds, so `timeout` must allow for that. It does not wait
        for new versions of old models.
        """
        self._run(self._core.reload(config))

    def _run(self, routine: Routine[T]) -> T:
        """Carry out a routine's steps, one after the other."""
        if self._closed:
            raise SettingsError("The client is closed. Ask within its `with` block, or open another one.")
        try:
            step = next(routine)
            while True:
                try:
                    value: Any
                    if isinstance(step, Call):
                        transport = self._transports[step.replica]
                        value = transport.call(*step.arguments())
                    elif isinstance(step, Pause):
                        time.sleep(step.seconds)
                        value = None
                    else:
                        value = self._gather(step)
                except ServerError as error:
                    step = routine.throw(error)
                else:
                    step = routine.send(value)
        except StopIteration as end:
            result: T = end.value
            return result

    def _gather(self, step: Gather) -> list[Any]:
        """Run the routines in several threads. This thread is one of them."""
        work = _Work(step.routines, self._run)
        helpers = [
            threading.Thread(target=work.run, daemon=True)
            for _ in range(min(step.limit, len(step.routines)) - 1)
        ]
        for helper in helpers:
            helper.start()
        work.run()
        for helper in helpers:
            helper.join()
        return work.finished()


class _Work:
    """Routines that several threads run together. After the first error no further routine starts."""

    def __init__(self, routines: Sequence[Routine[Any]], run: Callable[[Routine[Any]], Any]) -> None:
        self._routines = list(enumerate(routines))[::-1]
        self._run = run
        self._results: list[Any] = [None] * len(routines)
        self._error: BaseException | None = None

    def run(self) -> None:
        """Run routines until there are no more, or one has failed."""
        while self._error is None:
            try:
                number, routine = self._routines.pop()
            except IndexError:
                return
            try:
                self._results[number] = self._run(routine)
            except Exception as error:
                self._error = self._error or error
            except BaseException as error:
                # After Ctrl-C in the calling thread, the other threads take no further routine.
                self._error = error
                raise

    def finished(self) -> list[Any]:
        """The results in order. Raises the first error."""
        if self._error is not None:
            raise self._error
        return self._results


def make_transport(target: Target, tls: TLS | bool, token: Token | None, proxy: bool) -> Transport:
    """The transport to a target; the settings are those of `Client`."""
    settings = checked_tls(target, tls, token, proxy)
    if target.rest:
        return rest_transport(target, settings, token, proxy)
    return GrpcTransport(target, settings, token, proxy)


def rest_transport(target: Target, tls: TLS | None, token: Token | None, proxy: bool) -> Transport:
    """The REST transport of the target's protocol. Most clients need none of it."""
    if target.v2:
        from atelier_client.open_inference.rest import OpenInferenceRest

        return OpenInferenceRest(target, tls, token, proxy)
    from atelier_client.transports.rest import RestTransport

    return RestTransport(target, tls, token, proxy)


def checked_tls(target: Target, tls: TLS | bool, token: Token | None, proxy: bool) -> TLS | None:
    """The settings of TLS, None without it. Raises `SettingsError` for settings that cannot work.

    So are a token that others could read on its way, and one that no header can carry.
    """
    if not isinstance(tls, (bool, TLS)):
        raise SettingsError(f"tls is True, False or a TLS, such as TLS(ca='ca.pem'), not {shown(tls)}.")
    if not isinstance(proxy, bool):
        raise SettingsError(f"proxy is True or False, not {shown(proxy)}.")
    settings = TLS() if tls is True else tls or None
    if token is not None and not callable(token):
        check_token(token)
    if token is not None and settings is None and target.scheme != "https" and not target.local:
        raise SettingsError(
            f"A token sent to {target.address} without TLS could be read by others. Use TLS (tls=True, --tls)."
        )
    return settings
