"""Kills the server (SIGKILL) while a release stands still before one of its writes, and starts it again."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from tests.support.kills import SCENARIOS, prepared
from tests.support.releases import Releases
from tests.support.server import await_answer

_SCENARIO = SCENARIOS["ramp"]


class ServerKilled:
    """The release of version 2 with a ramp; `writes` is how many it has, `expected` how it ends undisturbed."""

    def __init__(self, repo: Releases) -> None:
        self._repo = repo
        self._saved = prepared(repo, _SCENARIO.before)
        done = repo.run(*_SCENARIO.words, how=(0, "count"))
        assert done.returncode == 0, done.stderr
        [line] = [line for line in done.stderr.splitlines() if line.startswith("writes: ")]
        self.writes = len(line.split()) - 1
        self.expected = repo.state()
        # How the command ended that saw the server die.
        self.codes: list[int] = []

    def die(self, number: int, *, back: bool) -> str | None:
        """A sentence when something else comes of it than undisturbed; else None.

        With `back` the server answers again before the release goes on, else it only just starts.
        """
        repo = self._repo
        repo.restore(self._saved)
        with repo.start(*_SCENARIO.words, how=(number, "wait")) as release:
            _await_halt(release)
            repo.kill_server()
            repo.start_server()
            if back:
                await_answer(repo.server, None)
                # What models.config says is what it serves.
                repo.settled()
            release.send_signal(signal.SIGCONT)
            _, err = release.communicate(timeout=120)
        self.codes.append(release.returncode)
        await_answer(repo.server, None)
        if "Traceback" in err or release.returncode not in (0, 3):
            return f"{number} {back}: {release.returncode}: {err}"
        if release.returncode:
            repo.settled()
            again = repo.run(*_SCENARIO.words, how=(0, "count"))
            if again.returncode:
                return f"{number} {back}: given again it ended with {again.returncode}: {again.stderr}"
        repo.settled()
        if repo.state() != self.expected:
            return f"{number} {back}: {repo.state()} instead of {self.expected}: {err}"
        return None

    def failures(self, points: Iterable[tuple[int, bool]]) -> list[str]:
        """What went wrong at these writes."""
        return [wrong for number, back in points if (wrong := self.die(number, back=back))]


def _await_halt(process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "T":
            return
        assert process.poll() is None
        time.sleep(0.02)
    raise AssertionError("the release did not stand still")
