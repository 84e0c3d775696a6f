"""What a command writes to the record about one model, and what the record says of an unfinished one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from atelier_client.release.manifest import card_digest
from atelier_client.release.record import ENDS, MOVES, Entry, Event, Record, now, who
from atelier_client.release.repository import Repository
from atelier_client.release.served_versions import ServedVersions


class Journal:
    """The record of one model; `damaged` is as in `Record`."""

    def __init__(self, repository: Repository, damaged: Callable[[str], None] | None = None) -> None:
        self._repository = repository
        self._record = Record(repository.models, damaged)

    def entries(self) -> list[Entry]:
        """The model's entries, oldest first."""
        return self._record.entries(self._repository.model)

    def write(
        self,
        event: Event,
        before: int | None,
        after: int | None,
        *,
        verdict: str | None = None,
        reason: str = "",
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an entry: `before` is what was stable, `after` the version it is about."""
        versions = [number for number in (before, after) if number is not None]
        digests = {
            str(number): digest
            for number in versions
            if (digest := card_digest(self._repository.version_folder(number)))
        }
        model = self._repository.model
        self._record.append(
            Entry(now(), who(), model, event, before, after, verdict, reason, metrics or {}, digests)
        )

    def unfinished(self) -> set[int]:
        """The candidates whose release has begun and not ended."""
        found: set[int] = set()
        for entry in self.entries():
            if entry.to_version is not None:
                if entry.event == "started":
                    found.add(entry.to_version)
                elif entry.event in ENDS:
                    found.discard(entry.to_version)
        return found

    def released(self) -> set[int]:
        """Every version that a release has served."""
        return {entry.to_version for entry in self.entries() if entry.to_version is not None}

    def was_stable(self) -> list[int]:
        """The versions that have been stable, the latest last."""
        moves = [entry.to_version for entry in self.entries() if entry.event in MOVES]
        return list(dict.fromkeys(version for version in reversed(moves) if version is not None))[::-1]

    def reconcile(self, served: ServedVersions) -> bool:
        """Write what was done and not written, because its command was killed between the two, or done by hand.

        True when it was the promotion of the stable version. The caller holds the lock of models.config.
        """
        entries = self.entries()
        moves = [entry for entry in entries if entry.event in MOVES]
        last = moves[-1].to_version if moves else None
        stable = served.stable
        if stable is None or stable == last:
            return False
        if begun := self.rollback_begun(stable):
            self.write("rolled_back", last, stable, reason=begun.reason)
            return False
        if stable in self.unfinished():
            self.promoted(last, stable)
            return True
        said = "was changed by hand" if moves else "named it before the first release"
        self.write("taken_over", last, stable, reason=f"models.config {said}.")
        return False

    def rollback_begun(self, version: int | None) -> Entry | None:
        """The intention to go back to a version, when nothing has become stable since."""
        begun = None
        for entry in self.entries():
            if entry.event in MOVES:
                begun = None
            elif entry.event == "rolling_back" and entry.to_version == version:
                begun = entry
        return begun

    def promoted(self, before: int | None, after: int, reason: str = "") -> None:
        """Write that the candidate became stable, with what the gate had said of it."""
        gated = [entry for entry in self.entries() if (entry.event, entry.to_version) == ("gated", after)]
        last = gated[-1] if gated else None
        self.write(
            "promoted",
            before,
            after,
            verdict=last.verdict if last else None,
            reason=reason or (last.reason if last else ""),
            metrics=last.metrics if last else None,
        )
