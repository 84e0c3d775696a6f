"""The supervisor: starts the `--workers` server processes that share the ports, replaces dead ones, and stops them.

It handles no requests and imports neither TensorFlow nor gRPC, so that it has few reasons to fail.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from typing import Any

from atelier_serving.drain import STOP_SECONDS
from atelier_serving.flags import Flags, command_line
from atelier_serving.status import Code, ServingError
from atelier_serving.workers.channel import Channel
from atelier_serving.workers.held_ports import hold
from atelier_serving.workers.worker_pool import Worker, WorkerPool

_log = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 1.0
# A worker that works always answers earlier: its answer needs only a thread and the interpreter.
HUNG_SECONDS = 15.0
# For a worker that starts: importing TensorFlow holds the interpreter, for longer on a slow disk.
HUNG_START_SECONDS = 60.0
# The pause before a worker is started again that died during its start. It doubles from the first to the last value.
_FIRST_PAUSE = 1.0
_LAST_PAUSE = 30.0


class Supervisor:
    """Runs in the main thread. Only this thread starts workers and handles signals."""

    def __init__(self, flags: Flags) -> None:
        self._flags = flags
        self._pool = WorkerPool(flags.workers)
        self._signals: list[int] = []
        # A worker that has died, or None after a signal. `put` may be called in a signal handler.
        self._events: queue.SimpleQueue[Worker | None] = queue.SimpleQueue()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises `ServingError` or `OSError` when it cannot start."""
        flags = self._flags
        held = [hold(flags.host, port) for port in (flags.port, flags.rest_api_port) if port]
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        for _ in range(flags.workers):
            self._start_worker(0.0)
        threading.Thread(target=self._listen, daemon=True, name="heartbeat").start()
        # For each worker that must be replaced: when to start the new one, and the pause before it.
        due: list[tuple[float, float]] = []
        while not self._signals:
            worker = self._next_event(min((when for when, _ in due), default=None))
            if worker:
                due.append(self._reap(worker))
            now = time.monotonic()
            for _, pause in [one for one in due if one[0] <= now]:
                self._start_worker(pause)
            due = [one for one in due if one[0] > now]
        self._stop()
        for taken in held:
            taken.close()

    def _start_worker(self, pause: float) -> None:
        ours, theirs = socket.socketpair()
        # -P keeps the working directory out of sys.path. In its own session a worker does not get Ctrl-C.
        module = [sys.executable, "-P", "-m", "atelier_serving.worker", str(theirs.fileno())]
        with theirs:
            process = subprocess.Popen(
                [*module, *command_line(self._flags)], pass_fds=[theirs.fileno()], start_new_session=True
            )
        worker = Worker(process, pause)
        worker.channel = Channel(ours, self._pool.handlers(worker), lambda: self._on_channel_end(worker))
        self._pool.add(worker)
        threading.Thread(target=self._watch, args=(worker,), daemon=True).start()

    def _watch(self, worker: Worker) -> None:
        worker.process.wait()
        self._events.put(worker)

    def _listen(self) -> None:
        """Ask each worker whether it is alive. Kill one that does not answer; then it is replaced."""
        asked: dict[Worker, tuple[Future[Any], float]] = {}
        while not self._signals:
            began = time.monotonic()
            time.sleep(_HEARTBEAT_SECONDS)
            now = time.monotonic()
            # As long as this process itself did not run, it could not hear the others.
            unheard = now - began - _HEARTBEAT_SECONDS
            workers = self._pool.workers()
            asked = {
                worker: (asked[worker][0], asked[worker][1] + unheard)
                for worker in workers
                if worker in asked
            }
            for worker in workers:
                future, since = asked.get(worker, (None, 0.0))
                allowed = HUNG_SECONDS if worker.ready else HUNG_START_SECONDS
                if future is None or future.done():
                    asked[worker] = worker.channel.ask("alive"), now
                elif now - since > allowed:
                    pid = worker.process.pid
                    _log.warning(
                        f"Worker {pid} has not answered for {allowed:.0f} s: it hangs, and is killed."
                    )
                    worker.process.kill()
                    del asked[worker]

    def _next_event(self, until: float | None) -> Worker | None:
        try:
            return self._events.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
        except queue.Empty:
            return None

    def _reap(self, worker: Worker) -> tuple[float, float]:
        """Log the death of a worker. Return when to start a new one, and the pause. Raises when the start fails."""
        self._pool.remove(worker)
        code = worker.process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
        if not self._pool.started:
            self._kill()
            text = f"a worker {how} before it was ready"
            raise worker.failure or ServingError(Code.UNAVAILABLE, text)
        if worker.ready:
            pause = 0.0
            when = "; it is being replaced"
        else:
            pause = min(_LAST_PAUSE, max(_FIRST_PAUSE, 2 * worker.pause))
            cause = f": {worker.failure}" if worker.failure else ""
            when = f" before it was ready{cause}; the next one starts in {pause:.0f} s"
        _log.warning(f"Worker {worker.process.pid} {how}{when}.")
        return time.monotonic() + pause, pause

    def _on_channel_end(self, worker: Worker) -> None:
        # A worker without a channel cannot be controlled, so it is killed. `_watch` notices it, and it is replaced.
        if not self._signals:
            worker.process.kill()

    def _on_signal(self, number: int, frame: Any) -> None:
        self._signals.append(number)
        if len(self._signals) > 1:
            self._kill()
            os._exit(128 + number)
        self._events.put(None)

    def _stop(self) -> None:
        """Let all workers drain, and wait for them.

        The end of the channel tells them to stop, and not a signal. systemd sends SIGTERM to all processes of a
        service; with a signal from here the workers would get two, and a second signal ends a process at once.
        """
        deadline = time.monotonic() + STOP_SECONDS
        workers = self._pool.workers()
        for worker in workers:
            worker.channel.close()
        for worker in workers:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()

    def _kill(self) -> None:
        for worker in self._pool.workers():
            worker.process.kill()
