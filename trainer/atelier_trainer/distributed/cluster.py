"""Who trains together: TF_CONFIG, as TensorFlow's guide to distributed training describes it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from atelier_trainer.errors import JobError
from atelier_trainer.job import Job
from atelier_trainer.printable import say

FORM = '{"cluster": {"worker": ["host:port", ..]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Cluster:
    """The addresses `host:port` of all workers, and the number of this one. Worker 0 is the chief."""

    workers: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """True for the worker that writes the run and the version."""
        return self.index == 0

    @property
    def others(self) -> tuple[int, ...]:
        """The numbers of all other workers."""
        return tuple(index for index in range(len(self.workers)) if index != self.index)

    def name(self, index: int) -> str:
        """A worker as it stands in messages."""
        return f"worker {index} ({self.workers[index]})"


def cluster_of(job: Job) -> Cluster | None:
    """The cluster that TF_CONFIG names, for a job of several workers; None for any other job.

    Raises `JobError` for a TF_CONFIG of another form, and for one of several workers beside a job of one: each would
    train and publish a version of its own.
    """
    config = os.environ.get("TF_CONFIG", "").strip()
    cluster = _parsed(config) if config else None
    if job.fit.strategy == "multi_worker":
        if cluster is None:
            say("TF_CONFIG is not set: this process is the only worker.")
        return cluster
    if cluster and len(cluster.workers) > 1:
        raise JobError(
            f"TF_CONFIG names {len(cluster.workers)} workers, and fit.strategy of {job.name} is {job.fit.strategy}: "
            "each worker would publish a version of its own. Expected fit.strategy=multi_worker (--set "
            "fit.strategy=multi_worker), or no TF_CONFIG."
        )
    return None


def _parsed(text: str) -> Cluster:
    try:
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError("it is no object")
        addresses, task = document["cluster"], document["task"]
        kind, index = task["type"], task["index"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _wrong(f"{type(error).__name__}: {error}") from None
    if not isinstance(addresses, dict) or not set(addresses) <= {"chief", "worker"}:
        raise _wrong("its cluster has other tasks than chief and worker")
    chiefs, workers = addresses.get("chief", []), addresses.get("worker", [])
    if (
        not isinstance(chiefs, list)
        or not isinstance(workers, list)
        or not chiefs + workers
        or len(chiefs) > 1
    ):
        raise _wrong("expected lists of addresses, with one chief at most")
    for address in chiefs + workers:
        if not isinstance(address, str) or not _is_address(address):
            raise _wrong(f"{address!r} is no address of the form host:port")
    if len(set(chiefs + workers)) < len(chiefs + workers):
        raise _wrong("an address is there twice")
    if type(index) is not int or kind not in ("chief", "worker"):
        raise _wrong(f"its task is {kind!r} {index!r}")
    own = addresses.get(kind, [])
    if not 0 <= index < len(own):
        raise _wrong(f"there is no {kind} {index}: the cluster has {len(own)}")
    return Cluster((*chiefs, *workers), index + (len(chiefs) if kind == "worker" else 0))


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isascii() and port.isdecimal() and 0 < int(port) < 2**16


def _wrong(why: str) -> JobError:
    return JobError(f"TF_CONFIG cannot be used ({why}). Expected {FORM}.")
