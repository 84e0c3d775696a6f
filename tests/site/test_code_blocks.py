"""Every code block of the documents: run as it stands, read by what would read it, or named with the reason why not."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from atelier_client import TLS, Client, Prediction, Router
from atelier_client.gate.rules import read_rules
from atelier_trainer.job import Job
from PIL import Image

from tests.support.code_blocks import ROOT, Block, blocks, spans
from tests.support.idx_files import split_examples, write_split
from tests.support.releases import Releases, releases
from tests.support.server import RunningServer

# Command lines that are run here, in this order, and the exit codes that are right: version 2 is the better one of
# two with random weights, 3 is worse than both, and nothing was stable before the test.
RUN = {
    "atelier-client release 2 --models models --target 127.0.0.1:8500": 0,
    "atelier-client status --wait 60 --version 2": 0,
    "atelier-client metadata": 0,
    "atelier-client evaluate": 0,
    "atelier-client evaluate --json --fail-under accuracy=0.88": 1,
    "atelier-client evaluate holdout.csv --label-column species --slice region": 0,
    "atelier-client diff 1 2": 0,
    "atelier-client predict shoe.jpg": 0,
    "atelier-client predict shoe.jpg boot.png": 0,
    'atelier-client rollback --reason "complaints about boots"': 0,
    "atelier-client history": 0,
    "atelier-client history --at 2026-11-24T12:00": 2,
    "atelier-client history --at 2026-11-24T11:35 --json": 2,
    "atelier-client release": 1,
    "atelier-client rollback": 0,
    "atelier-client doctor": 0,
    "atelier-client log requests --to requests.parquet": 0,
    "atelier-client drift --log .atelier/requests": 1,
    "atelier-client drift --log requests --against previous": 1,
}
_SERVES = "goes on until it is ended; each test of the server and of the console starts it so"
_STACK = "tests/stack runs it in clones of the repository"
_TRAINS = "trains for minutes; tests/trainer runs the command with smaller jobs"
_LOADS = "loads a server for minutes; tests/client/test_bench.py runs it with shorter windows"
# Command lines that are not run here, and why. A name ends with * for all that begin so.
NOT_RUN = {
    "make *": _STACK,
    "pip install ./client": "tests/stack/test_readme.py runs it in an environment of its own",
    "pip install 'atelier-serving[otel]'": "asks an index for a package that is not published",
    ".venv/bin/pre-commit install": "changes this repository's own hooks",
    "atelier-serving *": _SERVES,
    "OTEL_EXPORTER_OTLP_ENDPOINT=*": _SERVES,
    "atelier-console *": _SERVES,
    "atelier-trainer train *": _TRAINS,
    "atelier-trainer study imdb": _TRAINS,
    "atelier-trainer compare imdb-baseline imdb-l2": "compares what the study has trained; docs/tutorial.py does",
    "atelier-trainer save imdb-l2 *": "saves what was trained for minutes; docs/tutorial.py saves a smaller model",
    "atelier-trainer restore --from imdb.keras *": "restores what was trained for minutes; so does docs/tutorial.py",
    "atelier-trainer data show fashion-mnist": "docs/tutorial.py runs it",
    "atelier-client evaluate houses.csv --fail-over *": "asks a regression; tests/client measures some",
    "atelier-client evaluate photos.npz --task multi_label *": "asks for several classes; tests/client does too",
    "atelier-client diff stable canary holdout.csv": "needs a canary, which a finished release has not",
    "atelier-client predict holdout.csv *": "asks a model of tables; docs/tutorial_table.py predicts rows of a file",
    "atelier-client predict --text *": "docs/tutorial_text.py asks a model of texts",
    "echo *": "asks a model of flowers; tests/client/test_predict.py asks by JSON lines",
    "atelier-client bench *": _LOADS,
    "atelier-client release 3 --ramp *": "takes two minutes; tests/client/test_release_load.py ramps faster",
    "atelier-client release 3 --model fashion --require-signature *": "tests/client/test_release_signature.py signs",
    "openssl *": "tests/client/test_release_signature.py makes such keys",
    "model_signing *": "tests/client/test_release_signature.py signs",
    "atelier-client drift --log requests --every *": "writes into a folder of another program",
    "atelier-client drift --log requests --feedback *": "needs saved examples; tests/client/test_drift.py has them",
    "python -m tests.support.conformance_model *": "prepares a test of a server elsewhere",
    "ATELIER_TARGET=host:8500 *": "tests a server elsewhere",
    "pip install 'atelier-client[ray]'": "asks an index for a package that is not published",
    "atelier-client evaluate shards/ --engine ray *": "asks several servers; tests/client/test_ray.py does",
    "atelier-client predict shards/ predictions/ --engine ray *": "starts Ray; tests/client/test_ray_predict.py does",
    "atelier-trainer import old.h5 *": "imports somebody's file; tests/trainer/test_import.py imports each kind",
    "atelier-trainer mirror fashion": "writes to a tracking server; tests/trainer tests it with one",
    "atelier-trainer track *": "writes to a tracking server; tests/trainer tests it with one",
    "atelier-trainer save fashion-cnn *": "exports what was trained for minutes; tests/trainer exports smaller models",
    "pip install 'atelier-trainer[*": "asks an index for a package that is not published",
    "TF_CONFIG=*": "needs two machines",
    "atelier-client evaluate holdout.csv --target v2+*": "asks a server of another kind; tests/foreign starts one",
    "atelier-client predict shoe.jpg --target v2+*": "asks a server of another kind; tests/foreign starts one",
    "atelier-client doctor --target v2+*": "asks a server of another kind; tests/foreign starts one",
    "curl localhost:8501/v2/*": "asks a server as tests/conformance does",
    'python -c "from tritonclient*': "needs a client that no one here wrote",
    "docker *": "asks a registry",
    "id=$(docker create *": "needs the image of a model",
    "kubectl *": "needs a cluster",
}
# Blocks that are neither commands nor a program nor a document that something reads.
TEXT = {
    "README.md: trainer/   builds a model and publishes models/fashion/<n>     TensorFlow, Keras": "a layout",
    "docs/contracts.md: models/": "a layout",
    "docs/contracts.md: data/fashion-mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte      uncompressed IDX, "
    "SHA-256 checked, renamed into place": "a layout",
    "docs/contracts.md: requests/<model>-<milliseconds since 1970>-<process id>.tfrecord    <model> with _ for what "
    "is not A-Z a-z 0-9 _ . - and for a first point": "a layout",
    "docs/contracts.md: feedback/<model>.tfrecord    pictures: tf.Example with `images` (int64, H*W*C values 0..255, "
    "row by row) and `label` (int64)": "a layout",
    "docs/kubernetes.md: apiVersion: kustomize.config.k8s.io/v1beta1": "needs a cluster's repository around it",
    'docs/client.md: config { name: "shoes" base_path: "/models/shoes" model_platform: "tensorflow"': "a file's part",
    'docs/security.md: server_key: "-----BEGIN PRIVATE KEY-----\\n..."': "a file's part; tests/serving/test_tls.py",
    "docs/scale.md: fixed + n * each = 0.43 ms + n * 0.087 ms": "a formula",
    "docs/scale.md: replicas = predictions a day / 86,400 s * peak / (0.6 * requests a second of one)": "a formula",
    "docs/scale.md: time of the largest share + 2 * (workers - 1) / workers * bytes of the weights / bandwidth + "
    "workers * latency": "a formula",
    "docs/scale.md: price of a million = P * 1,000,000 / (3,600 * R * u)": "a formula",
    "docs/releases.md: Version 8 is blessed against version 7 on 10,000 examples: accuracy 0.8900, in stable 0.8800, "
    "change +0.0100 (95 %: +0.0056 to": "what a command prints; tests/client/test_gate_verdict.py compares it",
}
# Jobs, and parts of jobs, which are read with the other keys of this one.
JOBS = {"docs/trainer.md: name: wine", "docs/trainer.md: task: regression"}
REST = {"name": "wine", "model": "wine", "network": {"hidden": [8]}, "fit": {"batch_size": 8, "epochs": 1}}
GATES = {"docs/releases.md: examples: holdout.csv", "docs/tracking.md: hooks:"}

ALL = blocks()
PROGRAMS = [
    block for block in ALL if block.info == "python" or re.match(r"(?:from|import|with|Client\()", block.text)
]
DOCUMENTS = [block for block in ALL if re.match(r"\[?\{\"", block.text)]


def reason(line: str) -> str | None:
    """Why a command line is not run."""
    for name, why in NOT_RUN.items():
        if (
            line == name
            or (name.endswith("*") and line.startswith(name[:-1]))
            or line == name.removesuffix(" *")
        ):
            return why
    return None


def test_each_block_is_run_read_or_named_with_a_reason() -> None:
    assert len(ALL) > 40
    known = {id(block) for block in (*PROGRAMS, *DOCUMENTS)}
    left = [
        block.name
        for block in ALL
        if id(block) not in known and not block.commands and block.name not in TEXT.keys() | JOBS | GATES
    ]
    assert left == []
    lines = {line for block in ALL for line in block.commands}
    assert sorted(line for line in lines if line not in RUN and reason(line) is None) == []


def test_the_tables_name_nothing_that_is_gone() -> None:
    names = {block.name for block in ALL}
    assert sorted(name for name in TEXT.keys() | JOBS | GATES if name not in names) == []
    lines = {line for block in ALL for line in block.commands}
    assert sorted(set(RUN) - lines) == []
    unused = [
        name for name in NOT_RUN if not any(line.startswith(name.rstrip("*").rstrip()) for line in lines)
    ]
    assert unused == []


def options_of(reference: str, words: list[str]) -> set[str]:
    """The options in the section of a subcommand, or in the first one."""
    text = (ROOT / "docs" / "reference" / f"{reference}.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^#+ (atelier-.*)\n((?:(?!#+ atelier-).*\n?)*)", text, re.MULTILINE))
    for count in (2, 1, 0):
        name = " ".join([reference, *words[:count]])
        if name in sections:
            return set(re.findall(r"--[a-z][\w-]*", sections[name]))
    raise AssertionError(f"{reference} has no section")


def test_each_option_that_a_page_names_exists() -> None:
    lines = [(block.page, line) for block in ALL for line in block.commands] + spans()
    checked, unknown = 0, []
    for page, line in lines:
        for command in re.findall(r"atelier-(?:trainer|serving|client|console)(?= |$)[^|]*", line):
            reference, *words = command.split()
            named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", command))
            checked += len(named)
            unknown += [(page, line, option) for option in named - options_of(reference, words)]
    assert checked > 50
    assert unknown == []


@pytest.mark.parametrize("block", DOCUMENTS, ids=lambda block: f"{block.page}:{block.line}")
def test_a_document_is_json(block: Block) -> None:
    """What is left out stands as two points."""
    text = re.sub(r"([\[{])\.\.([\]}])", r"\1\2", block.text)
    json.loads(re.sub(r": \.\.", ": null", re.sub(r", \.\.", "", text)))


@pytest.mark.parametrize("name", sorted(JOBS))
def test_a_job_is_read_by_the_trainer(name: str, tmp_path: Path) -> None:
    [block] = [block for block in ALL if block.name == name]
    document = yaml.safe_load(block.text)
    assert len(document) >= 2
    assert Job.from_document(REST | document, tmp_path).model == "wine"


@pytest.mark.parametrize("name", sorted(GATES))
def test_a_gate_is_read_by_the_client(name: str, tmp_path: Path) -> None:
    [block] = [block for block in ALL if block.name == name]
    (tmp_path / "gate.yaml").write_text(block.text)
    assert read_rules(tmp_path / "gate.yaml") is not None


@dataclass
class Workspace:
    """A folder as `make up ENGINE=local` leaves one, with what the pages' commands name."""

    folder: Path
    made: Releases

    @property
    def server(self) -> RunningServer:
        return self.made.server

    def environ(self) -> dict[str, str]:
        return {**os.environ, "ATELIER_TARGET": self.server.grpc, "ATELIER_GATE": str(self.made.gate)}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("workspace")
    log = folder / ".atelier" / "requests"
    log.mkdir(parents=True)
    with releases(folder, f"--request_log_dir={log}", "--request_log_sampling_rate=1") as made:
        images, labels = split_examples()
        write_split(folder / "data", images, labels)
        (folder / "requests").symlink_to(log)
        for name in ("shoe.jpg", "boot.png"):
            Image.fromarray(images[0]).save(folder / name)
        pixels = [f"pixel{number}" for number in range(1, 785)]
        rows = [",".join(["species", "region", *pixels])]
        rows += [
            ",".join(map(str, [labels[i], "north" if i % 2 else "south", *images[i].ravel()]))
            for i in range(30)
        ]
        (folder / "holdout.csv").write_text("\n".join(rows) + "\n")
        subprocess.run(
            [ROOT / "examples/mutual_tls/make_certificates.sh", folder], check=True, capture_output=True
        )
        for kind in ("pem", "key"):
            (folder / f"client.{kind}").rename(folder / f"me.{kind}")
        yield Workspace(folder, made)


@pytest.mark.parametrize("line", RUN)
def test_a_command_runs(workspace: Workspace, line: str) -> None:
    command = line.replace("127.0.0.1:8500", workspace.server.grpc)
    words = f"{Path(sys.executable).parent}/{command}"
    done = subprocess.run(
        words,
        shell=True,
        cwd=workspace.folder,
        env=workspace.environ(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == RUN[line], done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: f"{block.page}:{block.line}")
def test_a_program_runs(workspace: Workspace, block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace.folder)

    def my_code(client: Client) -> str:
        answer: Prediction = client.predict(np.zeros((1, 28, 28), np.uint8))
        return "Sneaker" if answer["class_id"][0] == 7 else "?"

    # The commands above may have left any of them, or may not have run.
    workspace.made.repository.update(lambda served: replace(served, versions=frozenset({1, 2})))
    workspace.made.wait_loaded(1, 2)
    with Client(workspace.server.grpc, "fashion") as client:
        names: dict[str, Any] = {
            "Client": Client,
            "Router": Router,
            "TLS": TLS,
            "client": client,
            "fetch_token": lambda: "token",
            "images": np.zeros((3, 28, 28), np.uint8),
            "my_code": my_code,
            "target": workspace.server.grpc,
            "x": np.zeros((3, 784), np.float32),
        }
        program = block.text.replace("127.0.0.1:8500", workspace.server.grpc)
        code = compile(program, block.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, names))
        else:
            exec(code, names)
