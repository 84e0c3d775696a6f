"""WORKERS=n: the other workers of a training, beside the chief whose output is on screen."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stack import files
from stack.console import note
from stack.errors import StepFailed

# After the chief's end the others have nothing to write.
END_SECONDS = 30
SHOWN_LINES = 12


@dataclass(frozen=True)
class Worker:
    """One worker's command; `remove` takes away what outlives the command, such as a container."""

    command: Sequence[str]
    environment: Mapping[str, str]
    remove: Callable[[], object] = lambda: None


@contextlib.contextmanager
def beside(others: Sequence[Worker], logs: Path) -> Iterator[Callable[[], bool]]:
    """Run the workers while the block runs the chief; gives a function that is False once one of them has failed.

    Raises `StepFailed` with the end of the log of a worker that failed.
    """
    started: list[subprocess.Popen[bytes]] = []
    paths = [logs / f"worker-{number}.log" for number in range(1, len(others) + 1)]
    if others:
        many = "another process" if len(others) == 1 else f"{len(others)} other processes"
        note(f"Training with {many}, whose output is in {logs}/worker-*.log.")
    try:
        for worker, path in zip(others, paths, strict=True):
            with files.open_own(path) as log:
                log.truncate()
                started.append(
                    subprocess.Popen(
                        list(worker.command),
                        env=worker.environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        process_group=0,
                    )
                )
        try:
            yield lambda: not any(process.poll() for process in started)
        except StepFailed:
            # A worker that was left alone ends too, with a sentence that says no more than the chief's.
            _raise_of_first(started, paths)
            raise
        for process in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
    finally:
        for process, worker in zip(started, others, strict=False):
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(END_SECONDS)
                process.kill()
            worker.remove()


def tf_config(addresses: Sequence[str], index: int) -> str:
    """TF_CONFIG of one worker."""
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": task})


def local_addresses(count: int) -> list[str]:
    """As many free ports of this machine, each seen free while all others were held."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [f"127.0.0.1:{item.getsockname()[1]}" for item in sockets]


def _raise_of_first(started: Sequence[subprocess.Popen[bytes]], paths: Sequence[Path]) -> None:
    for number, (process, path) in enumerate(zip(started, paths, strict=True), start=1):
        if process.poll():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN_LINES:]
            raise StepFailed(
                f"Worker {number} of the training ended with exit code {process.returncode}. The end of {path}:\n"
                + "\n".join(lines)
            )
