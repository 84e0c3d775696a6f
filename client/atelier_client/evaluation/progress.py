"""Progress of a long command: a bar at a terminal, some lines in a log, nothing when the command is short."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from atelier_client._printable import printable

# A shorter command needs no bar, and does not import the library that draws it.
_QUIET_SECONDS = 0.7
_LINE_SECONDS = 10.0


class Progress:
    """Shows examples done, rate and time left on stderr; use it as a context manager."""

    def __init__(self, total: int | None, title: str) -> None:
        self._total = total
        self._title = title
        self._started = self._shown = time.monotonic()
        self._done = 0
        self._bar: Any = None
        self._task: Any = None
        self._note: str | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, examples: int) -> None:
        """Count so many more examples as done."""
        with self._lock:
            self._done += examples
            self._show()

    def waiting(self, reason: str | None) -> None:
        """Say that the client waits for the server and why; None says that the server answers again."""
        with self._lock:
            self._note = reason
            text = "The server answers again." if reason is None else f"Waiting for the server: {reason}"
            self._print(text)

    def say(self, text: str) -> None:
        """A line for the person at the terminal, above the bar."""
        with self._lock:
            self._print(text)

    def _print(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(printable(text), style="dim", highlight=False, markup=False)
        else:
            print(printable(text), file=sys.stderr, flush=True)

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._started < _QUIET_SECONDS:
            return
        if not sys.stderr.isatty():
            if now - self._shown >= _LINE_SECONDS:
                self._shown = now
                print(self._line(now), file=sys.stderr, flush=True)
            return
        if self._bar is None:
            self._begin()
        self._bar.update(self._task, completed=self._done, rate=self._done / (now - self._started))

    def _begin(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import (
            Progress as Bar,
        )

        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            # The bar is removed at the end; the report stays on the screen.
            transient=True,
        )
        self._task = self._bar.add_task(self._title, total=self._total, rate=0.0)
        self._bar.start()

    def _line(self, now: float) -> str:
        rate = self._done / (now - self._started)
        if self._total is None:
            return f"{self._title}: {self._done:,} examples, {rate:,.0f}/s"
        left = (self._total - self._done) / rate
        share = self._done / self._total
        return f"{self._title}: {self._done:,} of {self._total:,} ({share:.0%}), {rate:,.0f}/s, {_spelled(left)} left"


def _spelled(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
