"""Batching: requests that wait at the same time run as one batch, and each request gets its own rows back.

Behaviour and texts: batching/batching_session.cc, batching_util.cc and TensorFlow's shared_batch_scheduler.h at 2.20.0.
The batcher has no threads. The thread of the first request runs the batch when one of `num_batch_threads` turns is
free; a request that finds a free turn never waits for another thread. The models get free turns one after the other, so
a busy model cannot starve another.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from atelier_serving.batching import arrays as batch_arrays
from atelier_serving.batching.parameters import BatchingParameters
from atelier_serving.request_context import current
from atelier_serving.status import Code, ServingError, invalid

Run = Callable[..., Sequence[np.ndarray]]


class Scheduler:
    """The turns that all models share: a batch needs a turn to run."""

    def __init__(self, turns: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives the time in seconds; the deadlines of requests use the same clock."""
        self.lock = threading.Lock()
        self.clock = clock
        # How many batches have run.
        self.ran = 0
        self._free = turns
        self._waiting: deque[Batcher] = deque()

    def add(self, batcher: Batcher) -> None:
        """Note that a batch of this model may be ready. The caller holds `lock`."""
        if batcher not in self._waiting:
            self._waiting.append(batcher)

    def start_ready(self) -> None:
        """Give free turns to ready batches, one to each model in order. The caller holds `lock`."""
        skipped = 0
        while self._free and skipped < len(self._waiting):
            batcher = self._waiting.popleft()
            batch = batcher.take_ready(self.clock())
            if batcher.pending:
                self._waiting.append(batcher)
                skipped += batch is None
            if batch is None:
                continue
            skipped = 0
            self._free -= 1
            batch.started = True
            batch.tasks[0].nudge()

    def end_turn(self) -> None:
        """Give the turn back after a batch has run."""
        with self.lock:
            self.ran += 1
            self._free += 1
            self.start_ready()


class Batcher:
    """The waiting batches of one servable. Thread-safe."""

    def __init__(self, scheduler: Scheduler, parameters: BatchingParameters) -> None:
        self._scheduler = scheduler
        self._parameters = parameters
        self.pending: deque[_Batch] = deque()
        self._rows = 0

    def run(self, key: object, run: Run, inputs: Sequence[tuple[str, np.ndarray]]) -> Sequence[np.ndarray]:
        """Run these named arrays in a batch with other arrays of the same `key`, and return what `run` gives for them.

        Raises `ServingError` with the texts of TensorFlow Serving, and the errors that `run` raises for these inputs.
        """
        rows = batch_arrays.rows_of([array for _, array in inputs])
        limits = self._parameters
        if rows > limits.max_batch_size:
            text = f"Task size {rows} is larger than maximum input batch size {limits.max_batch_size}"
            raise invalid(text)
        if rows > limits.max_execution_batch_size:
            step = limits.max_execution_batch_size
            parts = [
                self._run_one(key, run, [(name, array[start : start + step]) for name, array in inputs], part)
                for start, part in ((at, min(step, rows - at)) for at in range(0, rows, step))
            ]
            return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
        return self._run_one(key, run, inputs, rows)

    def _run_one(
        self, key: object, run: Run, inputs: Sequence[tuple[str, np.ndarray]], rows: int
    ) -> Sequence[np.ndarray]:
        arrays = [array for _, array in inputs]
        shapes = tuple(a.ndim if self._parameters.pad_variable_length_inputs else a.shape[1:] for a in arrays)
        context = current()
        task = _Task(arrays, rows, context.deadline)
        with self._scheduler.lock:
            batch = self._enqueue((key, shapes), run, task)
            self._scheduler.start_ready()
        task.wait(batch, self._scheduler, self)
        if batch.started and batch.tasks[0] is task and not task.done:
            try:
                self._execute(batch)
            finally:
                self._scheduler.end_turn()
        context.queued += batch.began - task.created
        context.ran += batch.ended - batch.began
        context.batch += batch.rows
        if task.error is not None:
            raise task.error
        return task.outputs

    def take_ready(self, now: float) -> _Batch | None:
        """Remove and return the first batch that is full or has waited long enough. The caller holds the lock."""
        for batch in self.pending:
            if batch.full or batch.due <= now:
                self._remove(batch)
                return batch
        return None

    def abandon(self, task: _Task, batch: _Batch) -> None:
        """Take a task that is past its deadline out of its waiting batch. The caller holds the lock."""
        batch.tasks.remove(task)
        batch.rows -= task.rows
        self._rows -= task.rows
        if not batch.tasks:
            self.pending.remove(batch)
        else:
            # If the first task has left, the next one must now watch when the batch is due.
            batch.tasks[0].nudge()

    def _enqueue(self, key: object, run: Run, task: _Task) -> _Batch:
        limits = self._parameters
        size = limits.max_execution_batch_size
        if self._rows + task.rows > limits.max_enqueued_batches * size:
            raise ServingError(
                Code.UNAVAILABLE,
                "The batch scheduling queue to which this task was submitted is full; currently "
                f"{-(-self._rows // size)} batches enqueued and max_enqueued_batches is {limits.max_enqueued_batches}",
            )
        batch = next((b for b in self.pending if b.key == key and not b.full), None)
        if batch is not None and batch.rows + task.rows > size:
            batch.full = True
            batch = None
        if batch is None:
            batch = _Batch(key, run, self._scheduler.clock() + limits.timeout)
            self.pending.append(batch)
        batch.tasks.append(task)
        batch.rows += task.rows
        batch.full = batch.rows >= size
        self._rows += task.rows
        self._scheduler.add(self)
        return batch

    def _remove(self, batch: _Batch) -> None:
        self.pending.remove(batch)
        self._rows -= batch.rows

    def _execute(self, batch: _Batch) -> None:
        batch.began = time.perf_counter()
        try:
            self._run_tasks(batch.run, batch.tasks)
        finally:
            batch.ended = time.perf_counter()
            for task in batch.tasks[1:]:
                task.done = True
                task.nudge()

    def _run_tasks(self, run: Run, tasks: Sequence[_Task]) -> None:
        """Run the tasks as one batch. If that fails, run each half, until only the bad task fails."""
        try:
            arrays = batch_arrays.merged([task.inputs for task in tasks], self._parameters)
            outputs = batch_arrays.split(run(*arrays), [task.rows for task in tasks], len(arrays[0]))
        except Exception as error:
            if len(tasks) == 1:
                tasks[0].error = error
                return
            middle = len(tasks) // 2
            self._run_tasks(run, tasks[:middle])
            self._run_tasks(run, tasks[middle:])
            return
        for task, own in zip(tasks, outputs, strict=True):
            task.outputs = own


class _Batch:
    __slots__ = ("began", "due", "ended", "full", "key", "rows", "run", "started", "tasks")

    def __init__(self, key: object, run: Run, due: float) -> None:
        self.key = key
        self.run = run
        self.due = due
        self.tasks: list[_Task] = []
        self.rows = 0
        self.full = False
        self.started = False
        self.began = 0.0
        self.ended = 0.0


class _Task:
    __slots__ = ("_wake", "created", "deadline", "done", "error", "inputs", "outputs", "rows")

    def __init__(self, inputs: list[np.ndarray], rows: int, deadline: float | None) -> None:
        self.inputs = inputs
        self.rows = rows
        self.deadline = deadline
        self.created = time.perf_counter()
        self.outputs: Sequence[np.ndarray] = ()
        self.error: Exception | None = None
        self.done = False
        self._wake = threading.Lock()
        self._wake.acquire()

    def nudge(self) -> None:
        """Wake the thread of this task, so that it looks again. Two threads never call this at the same time."""
        if self._wake.locked():
            self._wake.release()

    def wait(self, batch: _Batch, scheduler: Scheduler, batcher: Batcher) -> None:
        """Wait until the task is done or its thread must run the batch. Raises `ServingError` after the deadline."""
        while not self.done:
            leads = batch.tasks[0] is self
            if batch.started and leads:
                return
            self._wake.acquire(timeout=self._patience(batch, leads, scheduler.clock()))
            if self.done or batch.started:
                # The first task runs the batch and wakes the others when it has ended.
                continue
            with scheduler.lock:
                if batch.started:
                    continue
                if self.deadline is not None and scheduler.clock() >= self.deadline:
                    batcher.abandon(self, batch)
                    text = "Run() timeout exceeded while waiting in batching queue"
                    raise ServingError(Code.RESOURCE_EXHAUSTED, text)
                scheduler.start_ready()

    def _patience(self, batch: _Batch, leads: bool, now: float) -> float:
        """Seconds until this task must look again even if nobody wakes it; -1 if it only waits to be woken."""
        if batch.started:
            return -1
        moments = [self.deadline] if self.deadline is not None else []
        if leads and batch.due > now:
            moments.append(batch.due)
        return max(0.0, min(moments) - now) if moments else -1
