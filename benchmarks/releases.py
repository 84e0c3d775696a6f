"""How long it takes until the users get another version: a label is moved, or a rollback is called for."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from atelier_client import Client
from atelier_client.release.repository import Repository
from atelier_client.release.served_versions import ServedVersions

from benchmarks.row import BIN, Row, timed
from benchmarks.server import Server, running_server

_ROUNDS = 10
_LABELS = "--allow_version_labels_for_unavailable_models=true"
_IMAGE = np.zeros((1, 28, 28), np.uint8)
NOTE = (
    "Median and slowest of 10, `fashion-dense` twice as versions 1 and 2, both loaded. A caller asks for the label "
    "`stable` over gRPC without a pause. The time begins before models.config is replaced, and for a rollback with the "
    "start of its process."
)


def measure() -> Iterator[Row]:
    """Every row, as it is measured."""
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        models = Path(folder, "models")
        folders = ["--data", Path(folder, "data"), "--runs", Path(folder, "runs")]
        timed([BIN / "atelier-trainer", "train", "fashion-dense", "--models", models, *folders])
        shutil.copytree(models / "fashion" / "1", models / "fashion" / "2")
        with _served(models, poll=2) as polling:
            yield polled(polling, models)
        # A poll would be in the way of what is measured here.
        with _served(models, poll=3600) as server:
            yield reloaded(server, models)
            yield rolled_back(server, models)


def reloaded(server: Server, models: Path) -> Row:
    """The label moved in models.config, then HandleReloadConfigRequest."""
    middle, most = _moved(server, models, tell=True)
    text = f"{middle:.3f} s; {most:.3f} s"
    return Row(
        "Label moved, reload sent: to the first answer of the new version", text, "under 1 s", most < 1
    )


def polled(server: Server, models: Path) -> Row:
    """The label moved in models.config, which the server reads every two seconds."""
    middle, most = _moved(server, models, tell=False)
    what = "Label moved, found by polling every 2 s: to the first answer of the new version"
    return Row(what, f"{middle:.2f} s; {most:.2f} s", "under 3 s", most < 3)


def rolled_back(server: Server, models: Path) -> Row:
    """The command `rollback`, from process start."""
    words = ["--models", models, "--model", "fashion", "--target", server.grpc]
    command = [str(word) for word in (BIN / "atelier-client", "rollback", *words)]
    taken = []
    for number in range(_ROUNDS):
        # To version 1 and 2 in turn: a rollback swaps `stable` and `previous`.
        version = 1 + number % 2
        with Client(server.grpc, "fashion") as client:
            _warm(client)
            began = time.monotonic()
            with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
                taken.append(_first_answer(client, version, began))
            if process.returncode:
                raise RuntimeError(f"{command} exited {process.returncode}")
    text = f"{statistics.median(taken):.2f} s; {max(taken):.2f} s"
    return Row(
        "`atelier-client rollback`: to the first answer of the version before",
        text,
        "under 2 s",
        max(taken) < 2,
    )


@contextlib.contextmanager
def _served(models: Path, poll: int) -> Iterator[Server]:
    """A server that has versions 1 and 2 loaded; 2 is stable and 1 is the version before."""
    repository = Repository(models, "fashion")
    _change(repository, lambda _: ServedVersions(frozenset({1, 2}), {"stable": 2, "previous": 1}))
    config = f"--model_config_file={models / 'models.config'}"
    with running_server(models, config, f"--model_config_file_poll_wait_seconds={poll}", _LABELS) as server:
        yield server


def _swap(found: ServedVersions) -> ServedVersions:
    return found.labelled(stable=found.previous, previous=found.stable)


def _change(repository: Repository, decide: Callable[[ServedVersions], ServedVersions]) -> bytes:
    return repository.update(decide).SerializeToString()


def _moved(server: Server, models: Path, *, tell: bool) -> tuple[float, float]:
    """The median and the slowest of the times to the first answer, in seconds."""
    repository = Repository(models, "fashion")
    taken = []
    with Client(server.grpc, "fashion") as client:
        for number in range(_ROUNDS):
            _warm(client)
            # At another moment of the poll's two seconds each time.
            time.sleep(0.2 * number)
            version = 1 + number % 2
            began = time.monotonic()
            config = _change(repository, _swap)
            if tell:
                client.reload(config)
            taken.append(_first_answer(client, version, began))
    return statistics.median(taken), max(taken)


def _warm(client: Client) -> None:
    for _ in range(20):
        client.predict(_IMAGE, label="stable")


def _first_answer(client: Client, version: int, began: float) -> float:
    """Seconds from `began` until `stable` is answered by the version."""
    while client.predict(_IMAGE, label="stable").versions != (version,):
        if time.monotonic() - began > 30:
            raise RuntimeError(f"version {version} did not answer within 30 s")
    return time.monotonic() - began
