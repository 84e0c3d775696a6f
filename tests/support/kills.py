"""Kills a release or a rollback at one of its writes, gives the command again, and compares what comes of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.releases import Releases, Saved
from tests.support.stable_watch import StableWatch

_FORCE = ("--force", "--reason", "it has to be")
_PAUSE = 0.02


@dataclass(frozen=True)
class Scenario:
    """A command, the versions that were released before it, and the exit code that it has."""

    words: tuple[Any, ...]
    before: tuple[int, ...]
    code: int = 0


SCENARIOS = {
    "first": Scenario(("release", 1), ()),
    # The version before the stable one is unloaded, and then deleted.
    "second": Scenario(("release", 3, *_FORCE, "--keep", 1), (1, 2)),
    "ramp": Scenario(("release", 2, "--ramp", "50,100", "--hold", "0.2s"), (1,)),
    "rejected": Scenario(("release", 3), (1,), 1),
    "back": Scenario(("rollback",), (1, 2)),
    "back to one that is not loaded": Scenario(("rollback", 1), (1, 2, 3)),
}
# How to die at a write: before it, right after it, or with half of it on disk.
Point = tuple[int, str]


class Killed:
    """One scenario: where it began, its writes, and the state in which it ends undisturbed."""

    def __init__(self, repo: Releases, scenario: Scenario) -> None:
        self._repo = repo
        self._scenario = scenario
        self._saved = prepared(repo, scenario.before)
        repo.restore(self._saved)
        with self.watched() as watch:
            done = repo.run(*scenario.words, how=(0, "count"))
            repo.settled()
        assert done.returncode == scenario.code, done.stderr
        assert watch.wrong == []
        [line] = [line for line in done.stderr.splitlines() if line.startswith("writes: ")]
        self.writes = line.split()[1:]
        self.expected = repo.state()

    def watched(self) -> Any:
        """Callers of `stable` for a block."""
        return StableWatch(self._repo, pause=_PAUSE, first=not self._scenario.before).asking()

    def points(self) -> list[Point]:
        """Every write, in each way to die at it."""
        ways = {"fsync": ("kill", "after", "tear")}
        return [
            (number, how)
            for number, name in enumerate(self.writes, 1)
            for how in ways.get(name, ("kill", "after"))
        ]

    def die(self, point: Point) -> str | None:
        """A sentence when the command, killed there and given again, ends otherwise than undisturbed; else None."""
        repo, words = self._repo, self._scenario.words
        repo.restore(self._saved)
        with self.watched() as watch:
            killed = repo.run(*words, how=point)
            complete = words == ("rollback",) and _complete(repo)
            # A rollback without a version swaps. Its last line says that there is nothing left to be done.
            again = None if complete else repo.run(*words, how=(0, "count"))
            repo.settled()
        if killed.returncode != -9:
            return f"{point} was not killed: {killed.returncode} {killed.stderr}"
        if again and again.returncode != self._scenario.code:
            return f"{point}: given again it ended with {again.returncode}: {again.stderr}"
        if repo.state() != self.expected:
            return f"{point}: {repo.state()} instead of {self.expected}\n{again and again.stderr}"
        if watch.wrong:
            return f"{point}: {len(watch.wrong)} of {watch.answered.total()}: {watch.wrong[:3]}"
        return None


def _complete(repo: Releases) -> bool:
    return [entry.event for entry in repo.entries()][-1:] == ["rolled_back"]


def prepared(repo: Releases, released: Sequence[int]) -> Saved:
    """Release these versions one after the other, the first one without a gate before it."""
    repo.restore(Saved((repo.models / "models.config").read_text(), ""))
    repo.begin(stable=bool(released))
    for version in released[1:]:
        done = repo.run("release", version, *_FORCE, how=(0, "count"))
        assert done.returncode == 0, done.stderr
    repo.settled()
    return repo.save()


def sample(points: Sequence[Point], share: float, seed: int = 0) -> Iterator[Point]:
    """So many of the points, in a random order that is the same every time."""
    drawn = random.Random(seed).sample(points, max(1, round(share * len(points))))
    yield from drawn


def failures(killed: Killed, points: Iterator[Point], say: Callable[[str], None] = print) -> list[str]:
    """What went wrong at these points."""
    found = []
    for point in points:
        if wrong := killed.die(point):
            say(wrong)
            found.append(wrong)
    return found
