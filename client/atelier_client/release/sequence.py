"""The way of a release, step by step. What was reached stands in models.config, so the same command goes on from there.

TensorFlow Serving refuses a configuration that labels a version which is not AVAILABLE, and then does not even load the
versions that it adds (model_servers/server_core.cc at 2.20.0). So a version is added, waited for, labelled, and the one
that it replaces is dropped last: one change of models.config each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from atelier_client._model_card import read_golden
from atelier_client.errors import ClientError, DataError, InputError, NotReachable
from atelier_client.release.hooks import HookFailed, Hooks
from atelier_client.release.journal import Journal
from atelier_client.release.manifest import check_files
from atelier_client.release.record import Event
from atelier_client.release.replicas import Failed, Replicas
from atelier_client.release.repository import Interfered, Repository
from atelier_client.release.served_versions import CANARY, STABLE, ServedVersions
from atelier_client.release.signature import PublicKey
from atelier_client.release.traffic_file import TrafficFile


class Verdict(Protocol):
    """What the gate says of a candidate."""

    @property
    def name(self) -> str: ...
    @property
    def sentence(self) -> str: ...
    @property
    def exit_code(self) -> int: ...
    def document(self) -> dict[str, Any]: ...


# The candidate and the stable version, None for the first one.
Gate = Callable[[int, int | None], Verdict]
# The same, and what to call while it runs; a sentence when the candidate has to go.
Ramp = Callable[[int, int, Callable[[], None]], str | None]


@dataclass(frozen=True)
class Plan:
    """How a release is made. `wait` is in seconds; `force` is the reason to promote whatever the gate says, `key`
    the one that the candidate has to be signed with.
    """

    gate: Gate
    hooks: Hooks
    ramp: Ramp | None = None
    wait: float = 180.0
    force: str | None = None
    key: PublicKey | None = None


@dataclass(frozen=True)
class Outcome:
    """How a release ended: the event that the record has, a sentence, and the exit code."""

    event: Event
    version: int
    stable: int | None
    sentence: str
    exit_code: int
    verdict: Mapping[str, Any] = field(default_factory=dict)


class _Held(ClientError):
    """The release stops before the candidate is promoted."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.sentence)
        self.outcome = outcome


class Release:
    """One release of one model. The caller holds the release lock (`Repository.releasing`)."""

    def __init__(
        self,
        repository: Repository,
        replicas: Replicas,
        plan: Plan,
        say: Callable[[str], None],
    ) -> None:
        self._repository = repository
        self._replicas = replicas
        self._journal = Journal(repository)
        self._traffic = TrafficFile(repository.models)
        self._plan = plan
        self._say = say
        self._left = ServedVersions(frozenset())
        # The candidate, when it was listed before its release began.
        self._listed: int | None = None
        self._verdict: Mapping[str, Any] = {}

    def run(self, candidate: int) -> Outcome:
        """Take a published version to `stable`, or leave everything as it was. Raises `ClientError`."""
        finished = self._reconcile()
        self._require_listed()
        try:
            if self._left.stable != candidate:
                self._check_files(candidate)
            self._take_over(candidate)
            self._forget_others(candidate)
            if self._left.stable == candidate:
                words = "is stable" if finished else "is stable already"
                return self._settle(candidate, f"Version {candidate} {words}.", hook=finished)
            self._to_canary(candidate)
            self._judge(candidate)
            self._ramp(candidate)
            self._promote(candidate)
        except _Held as held:
            self._undo(candidate, held.outcome.event, held.outcome.sentence)
            return held.outcome
        except Failed as failure:
            sentence = f"Version {candidate} is rejected: {failure}"
            self._undo(candidate, "rejected", sentence)
            return Outcome("rejected", candidate, self._left.stable, sentence, 1)
        except Interfered as change:
            sentence = f"The release of version {candidate} is ended: {change}"
            self._undo(candidate, "aborted", sentence)
            return Outcome("aborted", candidate, self._left.stable, sentence, 1)
        except BaseException as error:
            if self._left.stable != candidate:
                reason = "interrupted." if isinstance(error, KeyboardInterrupt) else str(error)
                self._undo(candidate, "aborted", f"The release of version {candidate} is ended: {reason}")
            raise
        return self._settle(candidate, f"Version {candidate} is stable.", hook=True)

    def _check_files(self, candidate: int) -> None:
        folder = self._repository.version_folder(candidate)
        check_files(folder, self._say)
        if self._plan.key is not None:
            self._plan.key.check(folder)

    def _require_listed(self) -> None:
        """Raises `InputError` for labels that no server can know: those of versions that are not listed."""
        if self._left.versions is None:
            return
        for label, version in self._left.labels.items():
            if version not in self._left.versions:
                raise InputError(
                    f"{self._repository.config_path} labels version {version} of {self._repository.model} {label}, and "
                    f"does not list it. Add `versions: {version}`, or take the label out."
                )

    def _reconcile(self) -> bool:
        """Bring the record up to models.config. True when a promotion was done and not written."""
        written = []

        def decide(found: ServedVersions) -> ServedVersions:
            self._left = found
            written.append(self._journal.reconcile(found))
            return found

        self._repository.update(decide)
        return written[-1]

    def _take_over(self, candidate: int) -> None:
        """Name the version that has answered up to now `stable`, where the entry is from before there were releases."""
        others = None if self._left.versions is None else self._left.versions - {candidate}
        if self._left.stable is not None or others == frozenset():
            return
        answering = self._replicas.wait_any(self._plan.wait)
        served = [number for number in answering if others is None or number in others]
        if not served:
            return
        stable = max(served)
        self._change(self._left.adding(stable))
        self._change(
            self._left.labelled(stable=stable),
            lambda: self._journal.write(
                "taken_over", None, stable, reason="It answered when the first release began."
            ),
        )
        self._say(f"Version {stable}, which has answered up to now, is stable.")

    def _forget_others(self, candidate: int) -> None:
        """Take away what a release of another version has left, whose process was killed."""
        left = self._journal.unfinished() | ({self._left.canary} if self._left.canary else set())
        for version in sorted(left - {candidate}):
            self._say(f"The release of version {version} was broken off; it is taken out.")
            self._undo(version, "aborted", f"The release of version {version} was broken off.")

    def _to_canary(self, candidate: int) -> None:
        """Load the candidate beside the stable version, on every server, and label it."""
        if candidate not in self._journal.unfinished():
            if candidate in (self._left.versions or ()):
                self._listed = candidate
            self._journal.write("started", self._left.stable, candidate)
        self._say(f"Loading version {candidate}.")
        self._change(self._left.adding(candidate))
        self._replicas.wait_available(candidate, self._plan.wait, self._require_undisturbed)
        self._replicas.check_golden(candidate, read_golden(self._repository.version_folder(candidate)))
        self._change(self._left.labelled(canary=candidate))
        self._require_all(self._replicas.wait_label(CANARY, candidate, self._require_undisturbed))
        self._plan.hooks.labels_moved(self._repository.model, self._left.labels)

    def _judge(self, candidate: int) -> None:
        """Ask the gate. Raises `_Held` when the candidate must not pass."""
        stable = self._left.stable
        self._run_hook("before_gate", candidate)
        try:
            verdict = self._plan.gate(candidate, stable)
        except (InputError, DataError) as error:
            name, sentence, code, document = (
                "not_evaluated",
                f"Version {candidate} was not evaluated: {error}",
                1,
                {},
            )
        else:
            name, sentence, code = verdict.name, verdict.sentence, verdict.exit_code
            document = verdict.document()
        self._require_undisturbed()
        self._verdict = {**document, "verdict": name, "sentence": sentence}
        self._journal.write("gated", stable, candidate, verdict=name, reason=sentence, metrics=document)
        if name == "blessed":
            self._say(sentence)
        elif self._plan.force is not None:
            self._say(f"{sentence} It is promoted all the same: {self._plan.force}")
        else:
            event: Event = "rejected" if name == "rejected" else "held"
            raise _Held(Outcome(event, candidate, stable, sentence, code, self._verdict))

    def _ramp(self, candidate: int) -> None:
        stable = self._left.stable
        if self._plan.ramp is None or stable is None:
            return
        if reason := self._plan.ramp(candidate, stable, self._require_undisturbed):
            raise _Held(Outcome("rejected", candidate, stable, reason, 1, self._verdict))

    def _promote(self, candidate: int) -> None:
        """Move `stable`; the version before stays loaded as `previous`."""
        self._run_hook("before_promotion", candidate)
        before = self._left.stable
        labels = {"stable": candidate, "canary": None} | ({"previous": before} if before else {})
        self._change(
            self._left.labelled(**labels),
            lambda: self._journal.promoted(before, candidate, self._plan.force or ""),
        )

    def _settle(self, candidate: int, sentence: str, *, hook: bool) -> Outcome:
        """See every server follow, and drop what no label names any more and a release had loaded."""
        self._traffic.clear(self._repository.model)
        try:
            self._replicas.tell(self._repository.config())
            silent = self._replicas.wait_label(STABLE, candidate, self._require_undisturbed)
            self._change(self._left.without(self._journal.released()))
        except Interfered as change:
            sentence = f"Version {candidate} became stable; then {change}"
            return Outcome("aborted", candidate, self._repository.served().stable, sentence, 1, self._verdict)
        if silent:
            self._say(
                f"warning: {', '.join(silent)} does not answer; it follows models.config when it is back."
            )
        if hook:
            with contextlib.suppress(HookFailed):
                self._run_hook("after_promotion", candidate)
            self._plan.hooks.labels_moved(self._repository.model, self._left.labels)
        return Outcome("promoted", candidate, candidate, sentence, 0, self._verdict)

    def _undo(self, version: int, event: Event, reason: str) -> None:
        """Take a candidate out again, whatever else was changed meanwhile, and record why."""
        self._traffic.clear(self._repository.model)
        labels: list[dict[str, int]] = []

        def decide(found: ServedVersions) -> ServedVersions:
            labels.append(dict(found.labels))
            cleared = found.labelled(canary=None) if found.canary == version else found
            # What somebody listed by hand stays, and the only version: a server without one answers nobody.
            stays = version == self._listed or cleared.versions in (None, frozenset({version}))
            self._left = cleared if stays else cleared.without({version})
            return self._left

        name = self._verdict.get("verdict")
        config = self._repository.update(
            decide,
            lambda: self._journal.write(event, self._left.stable, version, verdict=name, reason=reason),
        )
        self._replicas.tell(config)
        if labels[-1] != self._left.labels:
            self._plan.hooks.labels_moved(self._repository.model, self._left.labels)

    def _change(self, wanted: ServedVersions, then: Callable[[], None] | None = None) -> None:
        """One step: models.config is replaced, then the servers are told.

        They are also told when nothing changes: the command before this one may have been killed between the two.
        """
        config = self._repository.change(self._left, wanted, then)
        self._left = wanted
        self._replicas.tell(config)

    def _require_undisturbed(self) -> None:
        """Raises `Interfered` when somebody else has changed what is served, as a rollback does."""
        found = self._repository.served()
        if found != self._left:
            raise Interfered(f"somebody else changed what is served: now it is {found}.")

    def _require_all(self, silent: list[str]) -> None:
        # No word about the candidate: the release is ended, not rejected, and may be tried again.
        if silent:
            raise NotReachable(f"{', '.join(silent)} does not answer; a release needs every server.")

    def _run_hook(self, name: str, candidate: int) -> None:
        """Raises `_Held` when a hook that comes before something fails."""
        facts = {
            "event": name,
            "model": self._repository.model,
            "from": self._left.previous if name.startswith("after") else self._left.stable,
            "to": candidate,
            "verdict": self._verdict.get("verdict"),
            "reason": self._plan.force or self._verdict.get("sentence", ""),
            "metrics": {
                key: value for key, value in self._verdict.items() if key not in ("verdict", "sentence")
            },
        }
        try:
            self._plan.hooks.run(name, facts)
        except HookFailed as failure:
            self._say(f"warning: {failure}")
            if not name.startswith("after"):
                sentence = f"Version {candidate} is held: {failure}"
                raise _Held(
                    Outcome("held", candidate, self._left.stable, sentence, 4, self._verdict)
                ) from None
            raise
