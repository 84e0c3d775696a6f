"""Callers of `stable` that do not pause, over releases, rollbacks and rejected candidates."""

from __future__ import annotations

import itertools

from tests.support.kills import prepared
from tests.support.releases import Releases
from tests.support.stable_watch import StableWatch

_CALLERS = 2
_FORCED = ("--force", "--reason", "round")


class Loaded:
    """Each release is rolled back. Versions 2 and 3 take turns, so every release loads one and drops another."""

    def __init__(self, repo: Releases, *, releases: int, rejected: int) -> None:
        self._repo = repo
        self._releases = releases
        self._rejected = rejected
        self.watch = StableWatch(repo, pause=0)

    def run(self) -> None:
        """All of it. Raises `AssertionError` when a command ends with another exit code than it should."""
        repo = self._repo
        repo.restore(prepared(repo, (1,)))
        expected = [1]
        with self.watch.asking(_CALLERS):
            for number, version in zip(range(self._releases), itertools.cycle((2, 3)), strict=False):
                self._command(0, "release", version, *_FORCED)
                self._command(0, "rollback")
                expected += [version, 1]
                # Spread over the rounds.
                if (
                    number + 1
                ) * self._rejected // self._releases > number * self._rejected // self._releases:
                    self._command(1, "release", 3)
        repo.settled()
        assert repo.stable_versions() == expected

    def _command(self, code: int, *words: object) -> None:
        done = self._repo.run(*words, how=(0, "count"))
        assert done.returncode == code, done.stderr
