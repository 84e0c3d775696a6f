"""Bursts: small calls that have arrived together. Those that may be joined run as one session call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from atelier_serving.grpc.answering import STOPPING, UNREADABLE, Answering, failed
from atelier_serving.grpc.method import Call, Joinable, Method
from atelier_serving.inference.exchange import exchange_of
from atelier_serving.inference.joining import HeldServables, JoinedRuns, Member, Result
from atelier_serving.inference.predict import Task
from atelier_serving.models.servable import Servable
from atelier_serving.monitoring.request_recorder import RecordedCall, RequestRecorder
from atelier_serving.request_context import RequestContext, begin
from atelier_serving.status import ServingError


class SmallCall(Call, Protocol):
    """A call with its number, and its message: in bytes and, once it was read, as a proto."""

    id: int
    method: Method
    payload: bytes
    message: Any


class Caller(Protocol):
    """Who has the calls of a burst."""

    def later(self, call: Any) -> None:
        """Answer a call in a thread of its own."""

    def respond(self, call: Any, answer: bytes | ServingError) -> None:
        """End a call with its answer or its error."""


class Bursts:
    """Answers bursts of calls whose methods are `Joinable`."""

    def __init__(self, answering: Answering, recorder: RequestRecorder) -> None:
        self.answering = answering
        self.recorder = recorder
        self.runs = JoinedRuns()

    def read(self, calls: Sequence[SmallCall], caller: Caller) -> Burst:
        """Read and check the calls. Those that fail are answered, those that cannot be joined are run later."""
        burst = Burst(self, caller, calls)
        for call in calls:
            burst.add(call)
        return burst


class _Member(Member):
    """A call that is to be run with others."""

    __slots__ = ("call", "version")

    def __init__(self, call: SmallCall, context: RequestContext, task: Task, version: int) -> None:
        self.call = call
        self.context = context
        self.task = task
        self.version = version


class _LargerThanSentError(Exception):
    """A message needs more memory than it has bytes."""


class Burst:
    """The calls of one burst that run together, in groups that may be joined."""

    def __init__(self, bursts: Bursts, caller: Caller, calls: Sequence[Any]) -> None:
        self.calls = calls
        self._bursts = bursts
        self._caller = caller
        self._held = HeldServables()
        self._groups: dict[object, list[_Member]] = {}

    def add(self, call: SmallCall) -> None:
        """Read and check a call."""
        bursts = self._bursts
        if bursts.answering.closed:
            self._caller.respond(call, STOPPING)
            return
        method = call.method
        joinable = method.joinable
        assert joinable
        try:
            call.message = message = method.request.FromString(call.payload)
        except Exception:
            self._caller.respond(call, UNREADABLE)
            return
        context = begin(method.name, call.deadline)
        context.claim = _refuse
        try:
            servable, version = self._servable(joinable, message, context)
            task = joinable.task(message, servable)
            key = bursts.runs.key(task)
        except _LargerThanSentError:
            self._caller.later(call)
            return
        except Exception as error:
            self._answer(call, context, failed(error))
            return
        if key is None:
            self._caller.later(call)
            return
        if method.keeps:
            bursts.recorder.begin(context)
        # Those of a group are recorded together, so they have one method.
        self._groups.setdefault((method.name, key), []).append(_Member(call, context, task, version))

    def _servable(self, joinable: Joinable, message: Any, context: RequestContext) -> tuple[Servable, int]:
        """The servable that a request asks for, kept loaded until the burst has run. Raises `ServingError`."""
        key = joinable.model_key(message)
        return self._held.get(key, context, lambda: joinable.servable(message))

    def takes_long(self) -> bool:
        """Whether the runs are expected to take so long that new calls must not wait for them."""
        return self._bursts.runs.take_long(list(self._groups.values()))

    def run(self) -> None:
        """Run the groups, and answer their calls."""
        try:
            results = [(group, self._bursts.runs.run(group)) for group in self._groups.values()]
        finally:
            self._held.release()
        for group, found in results:
            self._end(group, found)

    def _end(self, group: list[_Member], found: list[Result]) -> None:
        """Record the calls of a group, and then answer them: who has an answer finds it in the metrics."""
        joinable = group[0].call.method.joinable
        assert joinable
        recorded: list[RecordedCall] = []
        ready: list[tuple[SmallCall, Any]] = []
        for member, result in zip(group, found, strict=True):
            call = member.call
            try:
                if isinstance(result, Exception):
                    raise result
                response = joinable.predicted(call.message, member.version, member.task, result)
                if member.context.keep:
                    # A member's rows are a part of the arrays of all members.
                    own = {alias: array.copy() for alias, array in result.items()}
                    member.context.keep(exchange_of(member.context, member.task, own))
            except Exception as error:
                self._answer(call, member.context, failed(error))
                continue
            recorded.append(RecordedCall(member.context, call.message, response, call))
            ready.append((call, response))
        if recorded:
            self._bursts.recorder.grpc(recorded)
        for call, response in ready:
            self._caller.respond(call, response.SerializeToString())

    def _answer(self, call: SmallCall, context: RequestContext, failure: ServingError) -> None:
        """Record a call that has failed, and end it."""
        context.code = failure.code.name
        self._bursts.recorder.grpc([RecordedCall(context, call.message, None, call)])
        self._caller.respond(call, failure)


def _refuse(size: int) -> None:
    raise _LargerThanSentError
