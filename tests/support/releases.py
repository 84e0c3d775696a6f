"""A model repository with a real server and labelled examples, for tests of releases."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from atelier_client import Client, ServedModel
from atelier_client.errors import ServerError
from atelier_client.release.record import Entry, Record
from atelier_client.release.repository import Repository
from atelier_client.release.served_versions import ServedVersions
from atelier_client.release.timeline import periods
from numpy.typing import NDArray

from tests.support.client_command import COMMAND
from tests.support.idx_files import split_examples, write_split
from tests.support.models import publish_untrained
from tests.support.server import RunningServer, running_server

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ("--model_config_file_poll_wait_seconds=1", "--allow_version_labels_for_unavailable_models=true")
# Few examples, so that a release takes a second or two; version 2 is right in most of them.
EXAMPLES = 300
ROWS = 3
_ENTRY = """model_config_list {{
  config {{
    name: "fashion"
    base_path: "{folder}"
    model_platform: "tensorflow"
    model_version_policy {{
      specific {{
        versions: 1
      }}
    }}
{labels}  }}
}}
"""
_STABLE = '    version_labels {\n      key: "stable"\n      value: 1\n    }\n'


@dataclass(frozen=True)
class Saved:
    """The two files that hold all about releases."""

    config: str
    record: str


@dataclass
class Releases:
    """The repository and its server. Version 2 is better than 1, and 3 is worse than both."""

    models: Path
    data: Path
    server: RunningServer

    def __post_init__(self) -> None:
        self.repository = Repository(self.models, "fashion")
        self.gate = self.data / "gate.yaml"
        # The versions as they were published; a release may delete them (--keep).
        self.kept = self.data / "kept"
        # What each version answers to the first images.
        self.answers: dict[int, NDArray[Any]] = {}

    @property
    def images(self) -> NDArray[Any]:
        """What `answers` are the answers to."""
        return np.ascontiguousarray(split_examples()[0][:ROWS])

    def rules(self, text: str = "") -> None:
        """Write the rules of the gate; the labelled examples are beside them."""
        self.gate.write_text(f"examples: labelled/fashion-mnist\n{text}")

    def begin(self, *, stable: bool = True) -> None:
        """Serve version 1 alone; with `stable` it has the label. Nothing was released yet."""
        shutil.rmtree(self.models / "fashion" / "4", ignore_errors=True)
        for path in (self.models / "rollouts.jsonl", self.models / "traffic.json"):
            path.unlink(missing_ok=True)
        folder = self.models / "fashion"
        # A label is refused for a version that has yet to be loaded.
        for labels in ("", _STABLE) if stable else ("",):
            (self.models / "models.config").write_text(_ENTRY.format(folder=folder, labels=labels))
            with Client(self.server.grpc, "fashion") as client:
                named = {"stable": 1} if labels else {}
                client.reload([ServedModel("fashion", str(folder), [1], labels=named)])
            self.wait_loaded(1)

    def save(self) -> Saved:
        """What models.config and the record say now, to come back to with `restore`."""
        record = self.models / "rollouts.jsonl"
        text = record.read_text() if record.exists() else ""
        return Saved((self.models / "models.config").read_text(), text)

    def restore(self, saved: Saved) -> None:
        """Let files and server be as they were when `saved` was made."""
        for kept in self.kept.iterdir():
            if not (self.models / "fashion" / kept.name).exists():
                shutil.copytree(kept, self.models / "fashion" / kept.name, copy_function=os.link)
        shutil.rmtree(self.models / "fashion" / "4", ignore_errors=True)
        for left in (*self.models.rglob("*.new"), *self.models.rglob(".retired*")):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        (self.models / "traffic.json").unlink(missing_ok=True)
        (self.models / "rollouts.jsonl").write_text(saved.record)
        (self.models / "models.config").write_text(saved.config)
        served = self.repository.served()
        assert served.versions is not None
        folder = str(self.models / "fashion")
        with Client(self.server.grpc, "fashion") as client:
            # Without labels first: one may not be moved to a version that has yet to be loaded.
            client.reload([ServedModel("fashion", folder, sorted(served.versions))])
            self.wait_loaded(*served.versions)
            client.reload(
                [ServedModel("fashion", folder, sorted(served.versions), labels=dict(served.labels))]
            )

    def kill_server(self) -> None:
        """Kill the server (SIGKILL) and see it gone."""
        self.server.process.kill()
        self.server.process.wait()

    def start_server(self) -> None:
        """Start the killed server with its own command line; it need not answer yet."""
        with self.server.log.open("ab") as log:
            self.server.process = subprocess.Popen(self.server.process.args, stdout=log, stderr=log)

    def settled(self) -> None:
        """Wait until the server serves what models.config says, and no more."""
        served = self.repository.served()
        self.wait_loaded(*(served.versions or ()))
        deadline = time.monotonic() + 30
        while any(self.label(name) != version for name, version in served.labels.items()):
            assert time.monotonic() < deadline, served
            time.sleep(0.05)

    def wait_loaded(self, *versions: int) -> None:
        """Wait until the server has these versions loaded, and no others."""
        deadline = time.monotonic() + 30
        while self.loaded() != set(versions):
            assert time.monotonic() < deadline, self.loaded()
            time.sleep(0.05)

    def loaded(self) -> set[int]:
        """The versions that the server has not unloaded."""
        with Client(self.server.grpc, "fashion") as client, contextlib.suppress(ServerError):
            return {entry.version for entry in client.status() if entry.state.name != "END"}
        return set()

    def available(self) -> set[int]:
        """The versions that answer."""
        with Client(self.server.grpc, "fashion") as client:
            return {entry.version for entry in client.status() if entry.state.name == "AVAILABLE"}

    def run(self, *words: Any, how: Sequence[Any] = (), **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the client to its end; `how` is for `tests.support.cut_short`."""
        with self.start(*words, how=how, **environ) as process:
            out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start(self, *words: Any, how: Sequence[Any] = (), **environ: str) -> subprocess.Popen[str]:
        """Start a command of the client."""
        cut = [sys.executable, "-m", "tests.support.cut_short", *map(str, how), "--"] if how else [COMMAND]
        return subprocess.Popen(
            [*cut, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ
            | {
                "ATELIER_TARGET": self.server.grpc,
                "ATELIER_DATA": str(self.data),
                "ATELIER_MODELS": str(self.models),
                "ATELIER_MODEL": "fashion",
                "ATELIER_GATE": str(self.gate),
                **environ,
            },
        )

    def entries(self) -> list[Entry]:
        """The record."""
        return Record(self.models).entries("fashion")

    def stable_versions(self) -> list[int]:
        """The versions that were stable, in turn."""
        return [period.version for period in periods(self.entries())]

    def state(self) -> dict[str, Any]:
        """All that a release leaves: what is to be served, what is on disk, and what was stable in turn."""
        served = self.repository.served()
        hidden = [
            path.name for path in self.models.rglob("*") if ".new" in path.name or ".retired" in path.name
        ]
        return {
            "versions": set(served.versions or ()),
            "labels": dict(served.labels),
            "published": self.repository.versions(),
            "stable": self.stable_versions(),
            "leftovers": hidden,
        }

    def label(self, name: str) -> int:
        """The version that the server knows by a label."""
        with Client(self.server.grpc, "fashion") as client:
            return client.version_of(name)


@contextlib.contextmanager
def releases(folder: Path, *more_flags: str) -> Iterator[Releases]:
    """Make the repository and start its server."""
    models, data = folder / "models", folder / "data"
    for seed in range(3):
        publish_untrained(models, seed=seed)
    flags = (f"--model_config_file={models / 'models.config'}", *FLAGS, *more_flags)
    with running_server(models, *flags) as server:
        made = Releases(models, data, server)
        write_labels(made)
        made.begin()
        first = server.process
        try:
            yield made
        finally:
            if server.process is not first:
                server.process.terminate()
                server.process.wait(20)


def write_labels(made: Releases) -> None:
    """Label the examples so that version 2 is right in about 60 of 100, 1 in 10, and 3 in none."""
    images = split_examples()[0][:EXAMPLES]
    answers = {}
    made.repository.update(lambda _: ServedVersions(frozenset({1, 2, 3})))
    with Client(made.server.grpc, "fashion") as client:
        for version in (1, 2, 3):
            client.wait_ready(30, version)
            answers[version] = client.predict(images, version=version)["class_id"]
            made.answers[version] = client.predict(made.images, version=version)["probabilities"]
    random = np.random.default_rng(0)
    labels = np.where(random.random(len(images)) < 0.6, answers[2], random.integers(0, 10, len(images)))
    # Where version 3 would be right, another class is.
    labels = np.where(labels == answers[3], (labels + 1) % 10, labels)
    write_split(made.data / "labelled", images, labels.astype(np.uint8))
    made.rules()
    for version in (1, 2, 3):
        folder = made.repository.version_folder(version)
        shutil.copytree(folder, made.kept / str(version), copy_function=os.link)
