"""The workers wait for each other before TensorFlow starts, which would wait without end and without a word."""

from __future__ import annotations

import socket
import time

from atelier_trainer import interrupt
from atelier_trainer.distributed.cluster import Cluster
from atelier_trainer.errors import TrainingFailed
from atelier_trainer.printable import say

# Within it the last worker must have read its data and come: images may have to be pulled, data to be fetched.
LIMIT = 600.0
TRIAL = 1.0
SAID_EVERY = 15.0


def meet(cluster: Cluster, limit: float = LIMIT) -> None:
    """Return when every worker's address takes connections. Raises `TrainingFailed` after `limit` seconds.

    Meanwhile this worker's own address is open, so that the others find it. A worker that has found all closes its
    socket, and TensorFlow opens the same port: those that come later find that one.
    """
    others = list(cluster.others)
    end = time.monotonic() + limit
    said = time.monotonic()
    with _own_socket(cluster):
        while others:
            others = [index for index in others if not _answers(cluster.workers[index])]
            interrupt.check()
            if not others:
                break
            names = ", ".join(cluster.name(index) for index in others)
            if time.monotonic() > end:
                raise TrainingFailed(
                    f"{names}: not there after {limit:.0f} s. Expected every worker of TF_CONFIG to be started, each "
                    "with its own index. Nothing was trained; start all of them again."
                )
            if time.monotonic() - said > SAID_EVERY:
                said = time.monotonic()
                say(f"waiting for {names}")
            time.sleep(0.2)


def _own_socket(cluster: Cluster) -> socket.socket:
    host, port = _split(cluster.workers[cluster.index])
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise TrainingFailed(
            f"{cluster.name(cluster.index)} cannot be opened ({error.strerror or error}). Expected this process's own "
            "address there, with a port that is free. Nothing was trained."
        ) from None


def _answers(address: str) -> bool:
    try:
        socket.create_connection(_split(address), timeout=TRIAL).close()
    except OSError:
        return False
    return True


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
