"""What the two clients share: every call as a routine (_routine.py) that a blocking or an asyncio shell runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, NDArray

from atelier_client import _trace_context
from atelier_client._arguments import (
    check_asked,
    check_label,
    check_signature,
    is_amount,
    is_text,
    output_names,
    shown,
)
from atelier_client._recording import Recording
from atelier_client._routine import Call, Gather, Pause, Routine
from atelier_client._targets import Target
from atelier_client._trace_context import TraceParent
from atelier_client.errors import (
    InputError,
    InvalidRequest,
    ModelNotFound,
    NotReachable,
    ServerError,
    ServerFailure,
    SettingsError,
    TimedOut,
)
from atelier_client.messages.requests import (
    IN_FLIGHT,
    Request,
    example_requests,
    make_model_spec,
    predict_requests,
)
from atelier_client.messages.tf_example import FeatureRows, to_examples
from atelier_client.model_config import ServedModel, reload_request
from atelier_client.protocols.base import Protocol
from atelier_client.protocols.tensorflow_serving import TENSORFLOW_SERVING
from atelier_client.responses import (
    Prediction,
    State,
    VersionStatus,
    check_rows,
    describe,
    join,
)
from atelier_client.retry import Retry
from atelier_client.signature import Signature, choose, choose_by_method
from atelier_client.transports.base import CLASSIFY, REGRESS, RELOAD, Method
from atelier_client.transports.sender import RequestSender

if TYPE_CHECKING:
    # A client without a recorder needs none of it.
    from atelier_client.request_log.recorder import Recorder

DEFAULT_TIMEOUT = 30.0
_POLL_SECONDS = 0.1

# Longer waits become this long: gRPC lets a deadline of 2**70 s pass at once, and poll() has room for 24 days.
_LONGEST_SECONDS = 1_000_000.0
Inputs = Mapping[str, ArrayLike] | ArrayLike


class Core:
    """The state of a client: where it sends requests, and the signatures it has read."""

    def __init__(
        self,
        targets: Sequence[Target],
        model: str,
        timeout: float,
        retry: Retry,
        recorder: Recorder | None = None,
        traceparent: TraceParent | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not is_text(model):
            raise SettingsError(f"The model needs a name, not {shown(model)}.")
        if not is_amount(timeout) or not timeout:
            raise SettingsError(f"timeout must be a number of seconds above 0, not {shown(timeout)}.")
        if not isinstance(retry, Retry):
            raise SettingsError(f"retry must be a Retry, such as Retry(attempts=1), not {shown(retry)}.")
        self.target = ",".join(target.address for target in targets)
        self._addresses = [target.address for target in targets]
        self.protocol = _protocol(targets[0])
        self._model = model
        if traceparent is not None and not callable(traceparent):
            _trace_context.check(traceparent)
        self._traceparent = traceparent
        self._recording = Recording(recorder, model, targets)
        self.recorder = recorder
        timeout = min(timeout, _LONGEST_SECONDS)
        self._timeout = timeout
        self._clock = clock
        self._sender = RequestSender(len(targets), timeout, retry, clock)
        self._signatures: dict[tuple[int | None, str | None], dict[str, Signature]] = {}

    def predict(
        self,
        inputs: Inputs,
        signature: str,
        outputs: Sequence[str],
        version: int | None,
        label: str | None,
        rows_per_request: int | None,
    ) -> Routine[Prediction]:
        """See `Client.predict`."""

        check_asked(version, label, rows_per_request)
        check_signature(signature)
        asked = output_names(outputs)

        def check(served: Mapping[str, Signature]) -> tuple[Signature, dict[str, NDArray[Any]]]:
            chosen = self.protocol.choose(served, signature)
            chosen.check_outputs(asked)
            return chosen, chosen.check(inputs)

        chosen, arrays = yield from self._checked(check, version, label)
        frame = self.protocol.frame(self._model, signature, version, label, asked)
        requests = predict_requests(frame, chosen, arrays, rows_per_request, asked)
        prediction = yield from self._all(self.protocol.predict, requests, version)
        if missing := [name for name in asked if name not in prediction]:
            raise ServerFailure(
                f"{self.target} answered without the output {', '.join(missing)} that was asked for."
            )
        if len(requests) > 1:
            check_rows(prediction, len(next(iter(arrays.values()))))
        return prediction

    def by_example(
        self,
        method: Method,
        rows: FeatureRows,
        signature: str | None,
        version: int | None,
        label: str | None,
        rows_per_request: int | None,
    ) -> Routine[Prediction]:
        """See `Client.classify` and `Client.regress`."""

        def check(served: Mapping[str, Signature]) -> Signature:
            return choose_by_method(served, method.name) if signature is None else choose(served, signature)

        check_asked(version, label, rows_per_request)
        self.protocol.check(method, self.target)
        if signature is not None:
            check_signature(signature)
        examples = to_examples(rows)
        chosen = yield from self._checked(check, version, label)
        asked = make_model_spec(self._model, chosen.name, version, label)
        requests = example_requests(method.request, asked, examples, rows_per_request)
        return (yield from self._all(method, requests, version))

    def classify(self, *arguments: Any) -> Routine[Prediction]:
        """See `Client.classify`."""
        return self.by_example(CLASSIFY, *arguments)

    def regress(self, *arguments: Any) -> Routine[Prediction]:
        """See `Client.regress`."""
        return self.by_example(REGRESS, *arguments)

    def metadata(self, version: int | None, label: str | None) -> Routine[dict[str, Signature]]:
        """See `Client.metadata`."""
        check_asked(version, label)
        key = (version, label)
        found = self._signatures.get(key)
        if found is None:
            found, answered = yield from self.protocol.metadata(self._send, self._model, version, label)
            self._check_version(version, (answered,))
            self._signatures[key] = found
        return found

    def version_of(self, label: str) -> Routine[int]:
        """See `Client.version_of`."""
        check_label(label)
        return (yield from self.protocol.version_of(self._send, self._model, label))

    def status(self) -> Routine[list[VersionStatus]]:
        """See `Client.status`."""
        return (yield from self.protocol.status(self._send, self._model))

    def newest_available(self) -> Routine[int]:
        """See `Client.newest_available`."""
        common: set[int] | None = None
        unreached: ServerError | None = None
        for replica in range(len(self._addresses)):
            try:
                entries = yield from self._status_of(replica)
            except (NotReachable, TimedOut) as error:
                # The others take its requests.
                unreached = error
                continue
            answering = {entry.version for entry in entries if entry.state == State.AVAILABLE}
            if not answering:
                raise ModelNotFound(f"No version of {self._model} answers: {describe(entries)}.")
            common = answering if common is None else common & answering
        if common is None:
            assert unreached is not None
            raise unreached
        if not common:
            raise ModelNotFound(f"No version of {self._model} answers on all {len(self._addresses)} servers.")
        return max(common)

    def _status_of(self, replica: int) -> Routine[list[VersionStatus]]:
        if len(self._addresses) == 1:
            return (yield from self.status())

        def send(method: Method, request: bytes) -> Routine[Any]:
            return (yield Call(replica, method, request, self._timeout))

        return (yield from self.protocol.status(send, self._model))

    def wait_ready(self, seconds: float, version: int | None) -> Routine[int]:
        """See `Client.wait_ready`."""
        check_asked(version, None)
        if not is_amount(seconds):
            raise SettingsError(f"wait_ready takes a number of seconds, 0 or more, not {shown(seconds)}.")
        deadline = self._clock() + min(seconds, _LONGEST_SECONDS)
        lowest = None
        for replica in range(len(self._addresses)):
            ready = yield from self._wait_for_replica(replica, deadline, seconds, version)
            lowest = ready if lowest is None else min(lowest, ready)
        assert lowest is not None
        return lowest

    def reload(self, config: Sequence[ServedModel] | bytes) -> Routine[None]:
        """See `Client.reload`."""
        self.protocol.check(RELOAD, self.target)
        request = reload_request(config).SerializeToString()
        told: list[str] = []
        for replica, address in enumerate(self._addresses):
            try:
                yield from self._sender.send_once(RELOAD, replica, request)
            except ServerError as error:
                if told:
                    text = f"{error} Told before that: {', '.join(told)}; they serve the new configuration."
                    raise type(error)(text, error.code, error.details) from None
                raise
            told.append(address)
        self._signatures.clear()

    def _checked(
        self, check: Callable[[Mapping[str, Signature]], Any], version: int | None, label: str | None
    ) -> Routine[Any]:
        """The result of `check` for the signatures. When it fails for kept signatures, they are read again."""
        kept = self._signatures.get((version, label))
        if kept is not None:
            try:
                return check(kept)
            except InputError:
                if version is not None:
                    raise
            # The served model may have changed since its signatures were read.
            self._signatures.pop((version, label), None)
        return check((yield from self.metadata(version, label)))

    def _all(self, method: Method, requests: Sequence[Request], version: int | None) -> Routine[Prediction]:
        # Here, because the requests of one call may be sent by other threads, which have no active span.
        trace = _trace_context.outgoing(self._traceparent)
        try:
            if len(requests) == 1:
                responses = [
                    (
                        yield from self._sender.send(
                            method, requests[0], trace, self._recording.keeper(method, trace)
                        )
                    )
                ]
            else:
                responses = yield Gather(
                    [
                        self._sender.send(method, request, trace, self._recording.keeper(method, trace))
                        for request in requests
                    ],
                    IN_FLIGHT,
                )
        except (InvalidRequest, ModelNotFound):
            self._signatures.clear()
            raise
        answers = [self.protocol.read(response) for response, _ in responses]
        prediction = join(answers, [seconds for _, seconds in responses])
        self._check_version(version, prediction.versions)
        return prediction

    def _send(self, method: Method, request: bytes) -> Routine[Any]:
        """The response of any replica."""
        return (yield from self._sender.send(method, lambda: request))[0]

    def _check_version(self, asked: int | None, answered: Sequence[int]) -> None:
        """Raises `ServerFailure` when another version responded than the one asked for. 0 means not known (REST)."""
        others = [number for number in answered if number not in (0, asked)]
        if asked not in (None, self.protocol.any_version) and others:
            raise ServerFailure(
                f"{self.target} was asked for version {asked} of {self._model} and answered with version "
                f"{', '.join(map(str, others))}."
            )

    def _wait_for_replica(
        self, replica: int, deadline: float, seconds: float, version: int | None
    ) -> Routine[int]:
        def send(method: Method, request: bytes) -> Routine[Any]:
            return (yield Call(replica, method, request, min(deadline - self._clock(), self._timeout)))

        reason = "nothing was asked yet"
        while deadline - self._clock() > 0:
            try:
                entries = yield from self.protocol.status(send, self._model)
                available = {entry.version for entry in entries if entry.state == State.AVAILABLE}
                if version in available or (version is None and available):
                    return version if version is not None else max(available)
                reason = describe(entries)
            except (NotReachable, TimedOut, ModelNotFound) as error:
                # The server does not know a model while it loads it for the first time.
                reason = str(error)
            yield Pause(min(_POLL_SECONDS, max(deadline - self._clock(), 0.0)))
        wanted = self._model if version is None else f"{self._model} version {version}"
        where = f" at {self._addresses[replica]}" if len(self._addresses) > 1 else ""
        raise TimedOut(f"{wanted} was not ready{where} within {seconds:g} s. Last seen: {reason}")


def _protocol(target: Target) -> Protocol:
    """The protocol that the address names."""
    if not target.v2:
        return TENSORFLOW_SERVING
    # Most clients do not need it.
    from atelier_client.open_inference.protocol import OPEN_INFERENCE

    return OPEN_INFERENCE
