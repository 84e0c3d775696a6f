"""Back to a version that was stable before: no gate, one step, also while a release is under way."""

from __future__ import annotations

from collections.abc import Callable

from atelier_client.errors import InputError, NotReachable
from atelier_client.release.hooks import HookFailed, Hooks
from atelier_client.release.journal import Journal
from atelier_client.release.replicas import Replicas
from atelier_client.release.repository import Repository
from atelier_client.release.served_versions import STABLE, ServedVersions
from atelier_client.release.traffic_file import TrafficFile


class Rollback:
    """One rollback of one model. A release under way sees it at its next step, and ends."""

    def __init__(
        self, repository: Repository, replicas: Replicas, hooks: Hooks, say: Callable[[str], None]
    ) -> None:
        self._repository = repository
        self._replicas = replicas
        self._hooks = hooks
        self._say = say
        told: set[str] = set()

        def damaged(line: str) -> None:
            # A rollback is wanted now: a record that is damaged can be mended later.
            if line not in told:
                told.add(line)
                say(f"warning: {line}")

        self._journal = Journal(repository, damaged)

    def run(self, version: int | None, reason: str, wait: float) -> int:
        """Make `previous` stable, or the given version; return it. `wait` (seconds) is for one that is not loaded.

        Raises `InputError` when there is nothing to go back to, `NotReachable` when no server answers.
        """
        served = self._repository.served()
        if self._journal.rollback_begun(served.stable) and version in (None, served.stable):
            # The command before this one was killed after its step. Without this, the same command given again would
            # go back from where it has just arrived.
            assert served.stable is not None
            target = served.stable
        else:
            self._write_down()
            target = self._target(version)
            self._load(target, wait)
            self._move(target, reason)
        self._settle(target, reason)
        return target

    def _settle(self, target: int, reason: str) -> None:
        """See the servers follow, drop what is not needed any more, and write down that it is done, last."""
        TrafficFile(self._repository.models).clear(self._repository.model)
        silent = self._replicas.wait_label(STABLE, target)
        if len(silent) == self._replicas.count:
            raise NotReachable(
                f"models.config says that version {target} is stable, but no server answers: {', '.join(silent)}."
            )
        if silent:
            self._say(
                f"warning: {', '.join(silent)} does not answer; it follows models.config when it is back."
            )
        known = self._journal.released()
        self._replicas.tell(self._repository.update(lambda found: found.without(known)))
        facts = {
            "event": "after_rollback",
            "model": self._repository.model,
            "from": self._repository.served().previous,
            "to": target,
            "reason": reason,
        }
        try:
            self._hooks.run("after_rollback", facts)
        except HookFailed as failure:
            self._say(f"warning: {failure}")
        self._hooks.labels_moved(self._repository.model, self._repository.served().labels)
        self._write_down()

    def _write_down(self) -> None:
        """Bring the record up to models.config."""

        def decide(found: ServedVersions) -> ServedVersions:
            self._journal.reconcile(found)
            return found

        self._repository.update(decide)

    def _target(self, version: int | None) -> int:
        served = self._repository.served()
        model = self._repository.model
        if served.stable is None:
            raise InputError(
                f"{self._repository.config_path} names no stable version of {model}: there is nothing to go back from."
            )
        if version is None:
            if served.previous in (None, served.stable):
                if served.canary is not None:
                    # The first release after the first version: ending it is what can be gone back.
                    return served.stable
                raise InputError(
                    f"There is no version before {served.stable} of {model} to go back to. A version that was stable "
                    "once can be named (VERSION)."
                )
            version = served.previous
            assert version is not None
        elif version != served.stable and version not in self._journal.was_stable():
            known = ", ".join(map(str, self._journal.was_stable())) or "none"
            raise InputError(
                f"Version {version} of {model} was never stable (these were: {known}). "
                f"`atelier-client release {version}` takes it through the gate."
            )
        self._require_folder(version)
        return version

    def _require_folder(self, version: int) -> None:
        folder = self._repository.version_folder(version)
        if not folder.is_dir():
            raise InputError(f"{folder} has been removed; name another version.")

    def _load(self, target: int, wait: float) -> None:
        """See that the version answers, before it is stable; load it where it is not served."""
        served = self._repository.served()
        listed = target in (served.versions or ())
        if listed and target == served.stable:
            return
        if not listed:
            self._say(f"Loading version {target}.")

            def decide(found: ServedVersions) -> ServedVersions:
                # A release may have deleted it since it was looked for (--keep).
                self._require_folder(target)
                return found.adding(target)

            self._replicas.tell(self._repository.update(decide))
        try:
            self._replicas.wait_available(target, wait, lambda: None, silent=True)
        except BaseException:
            if not listed:
                self._replicas.tell(self._repository.update(lambda found: found.without({target})))
            raise

    def _move(self, target: int, reason: str) -> None:
        before = self._repository.served().stable
        if target != before:
            self._journal.write("rolling_back", before, target, reason=reason)

        def decide(found: ServedVersions) -> ServedVersions:
            if found.stable == target:
                return found.labelled(canary=None)
            return found.adding(target).labelled(stable=target, previous=found.stable, canary=None)

        self._replicas.tell(self._repository.update(decide))
