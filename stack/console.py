"""What the user sees: steps, notes, and a line of progress for long commands, whose output goes to a log."""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from stack import files
from stack.errors import StepFailed

HEARTBEAT_SECONDS = 10.0
TAIL_LINES = 12
CLEAN_UP_SECONDS = 30.0
# Lines of container tools about their own work. They are left out of what the step prints.
_ENGINE_CHATTER = re.compile(
    r"^\s*(Creating|Starting|Recreating|Stopping|Removing|Network|Volume|Container)\b.*|^\s*$"
    r"|.*Found orphan containers.*|Aborting\.$"
)
# pip prints these lines last before a minute of silence. Shown that long, they would look as if packages were removed.
_PIP_CHATTER = re.compile(
    r"^\s*(Attempting uninstall|Found existing installation|Uninstalling|Successfully uninstalled)"
)


def step(number: int, total: int, text: str) -> None:
    """Announce one step of the loop."""
    print(f"[{number}/{total}] {text}", file=sys.stderr, flush=True)


def note(text: str) -> None:
    """One line under the current step."""
    print(f"      {text}", file=sys.stderr, flush=True)


class ProgressLine:
    """The latest line of a long command: rewritten in place on a terminal, every ten seconds in a log."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.latest = ""
        self.started = time.monotonic()
        self.shown = self.started
        self.terminal = sys.stderr.isatty()

    def update(self, line: str | None) -> None:
        """Take the command's next line, or None when it was silent for a second."""
        if line and line.strip() and not _PIP_CHATTER.match(line):
            self.latest = line.strip()
        now = time.monotonic()
        if now - self.shown < (0.5 if self.terminal else HEARTBEAT_SECONDS):
            return
        self.shown = now
        text = f"      {self.what}: {now - self.started:.0f} s  {self.latest}"[:110]
        print(
            f"\r\x1b[K{text}" if self.terminal else text, file=sys.stderr, end="" if self.terminal else "\n"
        )
        sys.stderr.flush()

    def close(self) -> None:
        """Remove the line from a terminal."""
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def run_logged(command: Sequence[str], what: str, log: Path, env: Mapping[str, str] | None = None) -> None:
    """Run a long command with its output in `log`; `StepFailed` shows the log's end.

    On a full disk the log is shorter or missing: `make clean`, which makes room, has one too.
    """
    progress = ProgressLine(what)
    last: deque[str] = deque(maxlen=TAIL_LINES)
    with (
        _log_file(log) as sink,
        subprocess.Popen(
            list(command),
            env=env,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in _lines_or_silence(process.stdout):
                if line:
                    last.append(line)
                    with _full_disk_ignored():
                        sink.write(line.encode())
                progress.update(line)
        except BaseException:
            process.terminate()
            raise
        finally:
            progress.close()
    if process.returncode:
        raise StepFailed(
            f"{what} failed (exit {process.returncode}). The end of {log}:\n{''.join(last).rstrip()}"
        )
    note(f"{what}: done in {time.monotonic() - progress.started:.0f} s")


def _log_file(log: Path) -> IO[bytes]:
    with _full_disk_ignored():
        log.parent.mkdir(parents=True, exist_ok=True)
        return files.open_own(log, truncate=True)
    return open(os.devnull, "wb")


@contextlib.contextmanager
def _full_disk_ignored() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def run_shown(
    command: Sequence[str],
    env: Mapping[str, str],
    *,
    capture: bool = False,
    quiet_engine: bool = False,
    rewrite: Callable[[str], str] = str,
    alive: Callable[[], bool] | None = None,
) -> str:
    """Run a command whose own messages (stderr) are for the user; return its stdout when `capture`.

    `quiet_engine` drops a container tool's bookkeeping lines from stderr; `rewrite` is applied to the others.
    `alive` is called every half second. When it returns False, the command waits for something that is gone, and it is
    stopped. Raises `StepFailed` without a message: the command has said what was wrong.
    """
    with subprocess.Popen(
        list(command),
        env=env,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.PIPE if quiet_engine else None,
        # In a group of its own the command does not get a terminal's Ctrl-C. This process ends it, see below.
        process_group=0,
    ) as process:
        try:
            forward = _Forward(process.stderr, rewrite)
            forward.start()
            output = _Output(process.stdout)
            output.start()
            _wait(process, alive)
        except KeyboardInterrupt:
            # On SIGTERM a command that is still starting ends without a stack trace, and one at work cleans up first.
            process.terminate()
            try:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=CLEAN_UP_SECONDS)
            finally:
                # The command took too long, or the user has pressed Ctrl-C again.
                process.kill()
            raise
        forward.finish(process.returncode)
    if process.returncode:
        raise StepFailed("", exit_code=process.returncode if process.returncode > 0 else 1)
    return output.text()


def _wait(process: subprocess.Popen[str], alive: Callable[[], bool] | None) -> None:
    while alive and process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        if process.poll() is None and not alive():
            process.terminate()
            break
    process.wait()


class _Output(threading.Thread):
    """Reads what a command prints, so that meanwhile somebody can look after it."""

    def __init__(self, stream: IO[str] | None) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._text = ""

    def run(self) -> None:
        self._text = self._stream.read() if self._stream else ""

    def text(self) -> str:
        """All of it; the command has ended."""
        self.join()
        return self._text


class _Forward(threading.Thread):
    """Passes a container's messages on, without what the container tool adds to them."""

    def __init__(self, stream: IO[str] | None, rewrite: Callable[[str], str]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._rewrite = rewrite
        self._number = ""

    def run(self) -> None:
        """Pass the lines on. A line that is only a number is held back until the next line comes."""
        for line in self._stream or ():
            self._write(self._number)
            self._number = line if line.strip().isdecimal() else ""
            if not self._number and not _ENGINE_CHATTER.match(line):
                self._write(self._rewrite(line))

    def finish(self, code: int) -> None:
        """Wait for the last line. docker-compose 1 ends by printing the exit code: that is not for the user."""
        self.join(timeout=10)
        if self._number.strip() != str(code):
            self._write(self._number)

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def _lines_or_silence(stream: IO[str]) -> Iterator[str | None]:
    """Yield the stream's lines, and None for each second without one, until it ends."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        # An interrupt closes the stream while this thread reads from it.
        with contextlib.suppress(ValueError):
            for line in stream:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=1.0)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield line
