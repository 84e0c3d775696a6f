"""The devices that train one model: their strategy, and what the processes tell each other."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import tensorflow as tf

from atelier_trainer import interrupt
from atelier_trainer.distributed.cluster import Cluster
from atelier_trainer.distributed.meeting import meet
from atelier_trainer.errors import TrainingFailed
from atelier_trainer.printable import say
from atelier_trainer.quiet import lines_of_c_hidden

# TensorFlow's own start, once every worker has been seen.
START_LIMIT = 120.0
# From a signal until the process ends although TensorFlow waits for another worker.
GRACE = 15.0
# What TensorFlow raises when another worker has left, and when that worker's end is seen in the middle of a message.
LEFT = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
    tf.errors.DeadlineExceededError,
)


class Group:
    """All replicas: one a worker or, on a machine with several GPUs, one a GPU."""

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster | None) -> None:
        self.strategy = strategy
        self.cluster = cluster
        self.replicas: int = strategy.num_replicas_in_sync
        workers = len(cluster.workers) if cluster else 1
        self.local = self.replicas // workers
        self.first = self.local * (cluster.index if cluster else 0)
        # One graph for arrays of every size.
        self._sum = tf.function(self._summed, input_signature=[tf.TensorSpec([None, None], tf.float64)])
        self.is_chief = cluster is None or cluster.is_chief

    @classmethod
    def join(cls, cluster: Cluster | None, kind: str) -> Self:
        """The group of a job's strategy: `multi_worker`, or `mirrored` on all devices of this machine.

        Raises `TrainingFailed` when another worker does not come.
        """
        if kind == "mirrored":
            devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
            say(f"training on {len(devices)} device{'s' * (len(devices) != 1)}: {devices[0].device_type}")
            return cls(tf.distribute.MirroredStrategy([device.name for device in devices]), None)
        if cluster is None:
            return cls(tf.distribute.MultiWorkerMirroredStrategy(), None)
        meet(cluster)
        _end_at_a_signal()
        with _ended_when_stuck():
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        # TensorFlow takes SIGTERM for a notice of preemption, and would go on.
        interrupt.install()
        say(f"{cluster.name(cluster.index)} of {len(cluster.workers)}: all are here")
        return cls(strategy, cluster)

    def leave(self) -> None:
        """Nothing more is asked of the other processes."""
        signal.set_wakeup_fd(-1)

    def total(self, values: Any) -> np.ndarray:
        """The sum over all processes of an array of any shape, in float64. Every process must call it."""
        array = np.asarray(values, np.float64)
        if self.cluster is None:
            return array
        # The first of a process's replicas gives its part, the others nothing.
        rows = np.zeros((self.local, array.size))
        rows[0] = array.ravel()
        per_replica = self._sum(tf.constant(rows))
        return np.asarray(self.strategy.experimental_local_results(per_replica)[0].numpy()).reshape(
            array.shape
        )

    def _summed(self, rows: Any) -> Any:
        def own_row() -> Any:
            context = tf.distribute.get_replica_context()
            number = tf.cast(context.replica_id_in_sync_group, tf.int32) - self.first
            return context.all_reduce(tf.distribute.ReduceOp.SUM, rows[number])

        return self.strategy.run(own_row)

    def told_by_chief(self, number: int) -> int:
        """The chief's number, on all; what the others give does not count."""
        return int(self.total(number if self.is_chief else 0))

    def same(self, content: bytes) -> bool:
        """True on all when all processes hold the same bytes."""
        own = np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
        chief = self.total(own if self.is_chief else np.zeros_like(own))
        return not self.total([np.any(chief != own)])[0]

    @contextmanager
    def explained(self, consequence: str) -> Iterator[None]:
        """Turn TensorFlow's word of a worker that left into a `TrainingFailed`, with `consequence` behind it."""
        try:
            yield
        except LEFT:
            who = self.cluster
            names = " or ".join(who.name(index) for index in who.others) if who else "a device"
            raise TrainingFailed(f"{names} has left: its own output says why. {consequence}") from None


@contextmanager
def _ended_when_stuck() -> Iterator[None]:
    """End the process when TensorFlow's start outlasts its limit: no exception reaches into C++."""
    with lines_of_c_hidden() as stderr:

        def end() -> None:
            text = (
                f"error: TensorFlow's servers have not found each other within {START_LIMIT:.0f} s. Nothing was "
                "trained; start every worker again.\n"
            )
            os.write(stderr, text.encode())
            os._exit(1)

        timer = threading.Timer(START_LIMIT, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _end_at_a_signal() -> None:
    """After a signal end the process within `GRACE` seconds, also while TensorFlow waits for another worker."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def watch() -> None:
        os.read(reading, 1)
        threading.Event().wait(GRACE)
        print("Interrupted while another worker was waited for.", file=sys.stderr, flush=True)
        os._exit(130)

    threading.Thread(target=watch, daemon=True).start()
