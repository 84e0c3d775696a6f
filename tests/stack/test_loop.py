"""The whole loop from a fresh clone, with each engine: the same story, told to both."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from stack.engines import container
from stack.engines.project import project_name
from tests.support.checkout import Checkout
from tests.support.foreign_models import CLASSES, old_h5
from tests.support.ports import free_port
from tests.support.prometheus import find

pytestmark = pytest.mark.timeout(1700)
STAGES = ("[1/4]", "[2/4]", "epoch  2/8", "[3/4]", "[4/4]")


@pytest.fixture
def up(
    checkout: Checkout,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Checkout, str]]:
    """A clone in which `make up` has run to its end with the engine of the test, after a Ctrl-C at each of its stages.

    It is cleaned afterwards, whatever happened.
    """
    engine = request.param
    if engine == "compose":
        request.getfixturevalue("engine")
    checkout.settings["ENGINE"] = engine
    if engine == "local" and isinstance(programs := find(tmp_path_factory.mktemp("prometheus")), Path):
        monkeypatch.setenv("PATH", os.pathsep.join([os.environ["PATH"], str(programs)]))
    environ = os.environ
    environ["COMPOSE_PROJECT_NAME"] = f"atelier-test-{os.getpid()}"
    # In the container the data come as they do for a user who has no copy.
    local_copy = environ.pop("ATELIER_FASHION_MNIST", None) if engine == "compose" else None
    try:
        for stage in STAGES:
            _interrupt(checkout, stage)
        yield checkout, checkout.make("up")
    finally:
        checkout.make("clean", "FORCE=1")
        del environ["COMPOSE_PROJECT_NAME"]
        if local_copy:
            environ["ATELIER_FASHION_MNIST"] = local_copy


@pytest.mark.parametrize("up", ["local", "compose"], indirect=True)
def test_the_loop_from_a_fresh_clone(up: tuple[Checkout, str], tmp_path: Path) -> None:
    checkout, text = up
    rest = f"http://127.0.0.1:{checkout.settings['REST_PORT']}/v1/models/fashion"
    evaluation = checkout.path / "reports" / "evaluation.json"

    # What it says at the end.
    assert "[4/4]" in text
    for promise in (
        rest,
        f"127.0.0.1:{checkout.settings['GRPC_PORT']}",
        "reports/evaluation.html",
        "curl",
        "make predict",
    ):
        assert promise in text
    assert "cudart_stub" not in text
    _names_no_place_of_a_container(text)

    # What it leaves: a report owned by the user, a served model as good as the trainer found it.
    report = json.loads(evaluation.read_text())
    assert report["model"]["version"] == 1
    assert report["dataset"]["examples"] == 10_000
    assert report["metrics"]["accuracy"] >= 0.88
    assert report["skew"]["mismatched_labels"] == 0
    assert evaluation.stat().st_uid == os.getuid()
    assert "<svg" in (checkout.path / "reports" / "evaluation.html").read_text()
    assert _status(rest) == {"1": "AVAILABLE"}

    # A second `make up` trains nothing and leaves the service as it is.
    before = _identity(checkout)
    started = time.monotonic()
    again = checkout.make("up")
    assert "left undisturbed" in again
    assert _identity(checkout) == before
    assert json.loads(evaluation.read_text())["model"]["version"] == 1
    print(f"second make up: {time.monotonic() - started:.1f} s")

    watched = _watch(checkout)
    assert _identity(checkout) == before

    # A report that has gone is made again; a job that asks for another model is trained, and served beside the first.
    evaluation.unlink()
    checkout.make("up")
    assert json.loads(evaluation.read_text())["model"]["version"] == 1
    _serve_a_second_model(checkout, tmp_path)
    _serve_a_model_of_2019(checkout, tmp_path)
    assert _identity(checkout) == before

    # Asked to, it trains; the same job makes an equal model, which the gate holds, and the first one stays stable.
    held = checkout.make("up", "RETRAIN=1", expect=4)
    assert "Version 2 is held" in held
    assert json.loads(evaluation.read_text())["model"]["version"] == 1
    assert "version 1 AVAILABLE (stable)" in checkout.make("ps")
    assert "Version 2 is held" not in checkout.make("up").partition("[4/4]")[2]
    _release_and_go_back(checkout)
    assert _identity(checkout) == before

    assert "\x1b" not in checkout.make("logs")
    assert "Ankle boot" in checkout.make("predict", "ROWS=0:1")
    _compare_with_training(checkout)
    refused = checkout.make("predict", "ROWS=no", expect=2)
    assert "\n2\n" not in refused

    _kill_the_server_and_go_on(checkout)

    # Stopped, it is gone; started again, it serves what was trained.
    checkout.make("down")
    for address in (rest, *watched):
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(address, timeout=10)
    checkout.make("up", "CONSOLE=0")
    assert "Console" not in checkout.make("ps")
    assert json.loads(evaluation.read_text())["model"]["version"] == 2

    # All that is left in the end is what somebody else wrote.
    (checkout.path / "data").mkdir(exist_ok=True)
    (checkout.path / "data" / "mine.csv").touch()
    assert "data/mine.csv" in checkout.make("clean")
    left = [
        path for name in ("models", "data", "reports", "runs") for path in (checkout.path / name).rglob("*")
    ]
    assert left == [checkout.path / "data" / "mine.csv"]


def _watch(checkout: Checkout) -> list[str]:
    """The console answers at the address that `make up` prints; with OBSERVE=1 Prometheus asks it and the server.

    Returns the addresses.
    """
    ports = [f"{name}_PORT={free_port()}" for name in ("PROMETHEUS", "GRAFANA")]
    text = checkout.make("up", "OBSERVE=1", *ports)
    if "No Prometheus: " in text:
        # This machine has no way to one.
        assert "apt-get install prometheus" in text
        return []
    shown = dict(
        re.findall(r"^  (Console|Prometheus|Grafana) +(http://127\.0\.0\.1:\S+)$", text, re.MULTILINE)
    )
    assert set(shown) >= {"Console", "Prometheus"}, text
    assert "Grafana" in shown or "No Grafana: " in text
    # The page is reached through a redirection, in a container with a cookie for its token.
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(shown["Console"], timeout=20) as page:
        assert "fashion" in page.read().decode()
    deadline = time.monotonic() + 60
    while _up(shown["Prometheus"]) != {"serving": "1", "console": "1"}:
        assert time.monotonic() < deadline, _up(shown["Prometheus"])
        time.sleep(0.5)
    told = checkout.make("ps")
    assert all(address in told for address in shown.values())
    assert "-- prometheus" in checkout.make("logs")
    return list(shown.values())


def _compare_with_training(checkout: Checkout) -> None:
    """Of what is asked the server keeps a sample, which `make drift` compares, whatever the verdict on it is."""
    url = f"http://127.0.0.1:{checkout.settings['REST_PORT']}/v1/models/fashion/labels/stable:predict"
    body = json.dumps({"instances": [[[0] * 28] * 28] * 8}).encode()
    for _ in range(200):
        urllib.request.urlopen(url, body, timeout=20).close()
    done = subprocess.run(
        ["make", "--no-print-directory", "drift"],
        cwd=checkout.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0 or re.search(r"Error [14]\b", done.stdout), done.stdout
    assert f"The report: {checkout.path}/reports/drift.html" in done.stdout, done.stdout
    assert json.loads((checkout.path / "reports" / "drift.json").read_text())["model"]["name"] == "fashion"


def _up(prometheus: str) -> dict[str, str]:
    """Whether each job's server answers, as Prometheus found it last."""
    with urllib.request.urlopen(f"{prometheus}/api/v1/query?query=up", timeout=10) as answer:
        found = json.load(answer)["data"]["result"]
    return {entry["metric"]["job"]: entry["value"][1] for entry in found}


def _release_and_go_back(checkout: Checkout) -> None:
    """Version 2 is promoted by force, rolled back, and promoted once more; the history tells it."""
    gate = checkout.path / "gate.yaml"
    gate.write_text("metrics: {accuracy: {change_threshold: {absolute: -0.05}}}\n")
    assert "Version 2 is blessed" in checkout.make("release")
    assert "version 2 AVAILABLE (stable), version 1 AVAILABLE (previous)" in checkout.make("ps")
    assert "Version 1 is stable" in checkout.make("rollback", "REASON=to see")
    assert "never stable" in checkout.make("rollback", "VERSION=9", expect=2)
    gate.unlink()
    assert "Version 2 is stable" in checkout.make("release", "VERSION=2", "FORCE=1", "REASON=back again")
    told = checkout.make("history")
    assert "rolled back" in told
    assert "back again" in told
    checkout.make("evaluate")
    report = json.loads((checkout.path / "reports" / "evaluation.json").read_text())
    assert report["model"]["version"] == 2


def _interrupt(checkout: Checkout, stage: str) -> None:
    """Ctrl-C at a stage is answered in a sentence, leaves nothing at work, and the same command goes on from there."""
    text = checkout.interrupt_up(stage)
    assert "Traceback" not in text, text
    # What an earlier attempt has finished is not done again.
    assert stage in text or stage.startswith("epoch"), text
    assert "Interrupted" in text or stage not in text, text
    assert checkout.processes("atelier-trainer", "atelier-client", "pip install") == []
    checkout.make("ps")


def _serve_a_second_model(checkout: Checkout, tmp_path: Path) -> None:
    """A table beside the job's folder: it is found with either engine, and JOB chooses its model afterwards."""
    job = _table_job(tmp_path)
    # Two processes or containers train it, and one of them publishes.
    text = checkout.make("up", f"JOB={job}", "WORKERS=2")
    assert "Training with another process" in text
    run = json.loads((checkout.path / "runs" / "kinds" / "1" / "run.json").read_text())
    assert (run["state"], run["workers"]) == ("published", 2)
    assert """-d '{"instances": [[0.0, 0.0]]}'""" in text
    assert f"make up JOB={job} RETRAIN=1" in text.replace("'", "")
    _names_no_place_of_a_container(text)
    listed = checkout.make("ps")
    assert "model fashion   version 1 AVAILABLE" in listed
    assert "model kinds   version 1 AVAILABLE" in listed

    report = checkout.path / "reports" / "evaluation.json"
    for chosen, model in (("JOB=fashion-dense", "fashion"), (f"JOB={job}", "kinds")):
        checkout.make("evaluate", chosen)
        assert json.loads(report.read_text())["model"]["name"] == model
    assert "round" in checkout.make("predict", f"JOB={job}", "ROWS=0:20")
    assert "Ankle boot" in checkout.make("predict", "JOB=trainer/jobs/fashion-dense.yaml", "ROWS=0:1")
    assert "made it" in checkout.make("evaluate", "JOB=fashion-cnn", expect=3)
    assert "model imdb is not served" in checkout.make("predict", "JOB=imdb-l2", expect=3)


def _serve_a_model_of_2019(checkout: Checkout, tmp_path: Path) -> None:
    """A file of Keras 2 and a table, from outside of the checkout: one command imports, serves and evaluates them."""
    folder = tmp_path / "my models"
    folder.mkdir()
    old_h5(folder)
    model, classes = folder / "old.h5", folder / "classes.txt"
    classes.write_text("\n".join(CLASSES) + "\n")
    for path in folder.iterdir():
        path.chmod(0o644)
    written = checkout.path / "reports" / "evaluation.json"
    asked = ("up", f"MODEL={model}", f"EXAMPLES={folder / 'old.csv'}", f"LABELS={classes}", "NAME=iris")
    text = checkout.make(*asked)
    assert "is a file of Keras 2: tf_keras" in text
    assert "Serving iris version 1 until `make down`" in text
    _names_no_place_of_a_container(text)
    report = json.loads(written.read_text())
    assert report["metrics"]["accuracy"] == report["trained"]["metrics"]["accuracy"] == 0.75
    assert report["skew"]["max_abs_diff"] < 1e-6
    again = checkout.make(*asked)
    assert "iris version 1 is up to date: " in again
    assert "left undisturbed" in again
    assert "setosa" in checkout.make("predict", "ROWS=0:9")

    # Other weights are another version, which does not pass the gate.
    with h5py.File(model, "r+") as file:
        file["model_weights/dense_2/dense_2/bias:0"][...] = np.array([50, 0, 0], np.float32)
    assert "iris/2" in checkout.make(*asked, expect=1)
    (line,) = (line for line in checkout.make("ps").splitlines() if line.startswith("model iris "))
    assert "version 1 AVAILABLE (stable)" in line

    # Without labelled examples a model is served all the same, and not evaluated.
    written.unlink()
    text = checkout.make("up", f"MODEL={model}")
    assert "old is served, and not evaluated: there are no examples." in text
    assert "Serving old version 1 until `make down`" in text
    assert not written.exists()


def _table_job(tmp_path: Path) -> Path:
    """A job in one folder whose table lies in another; the two kinds lie apart."""
    for name in ("my jobs", "tables"):
        (tmp_path / name).mkdir()
    dice = random.Random(7)
    rows = (
        f"{dice.random() + 3 * kind},{dice.random()},{('round', 'square')[kind]}\n"
        for kind in (dice.randrange(2) for _ in range(200))
    )
    (tmp_path / "tables" / "kinds.csv").write_text("width,height,label\n" + "".join(rows))
    job = tmp_path / "my jobs" / "kinds.yaml"
    job.write_text(
        "name: kinds\nmodel: kinds\ndata: {csv: ../tables/kinds.csv}\n"
        "network: {hidden: [4]}\noptimizer: {learning_rate: 0.1}\nfit: {batch_size: 16, epochs: 3}\n"
    )
    return job


def _kill_the_server_and_go_on(checkout: Checkout) -> None:
    """Killed, a container's server is started again by its restart policy, a local one by `make up`, on its ports."""
    engine = checkout.settings["ENGINE"]
    if engine == "local":
        os.kill(json.loads((checkout.path / ".atelier" / "state.json").read_text())["pid"], signal.SIGKILL)
        assert "not running" in checkout.make("evaluate", expect=3)
    else:
        _kill_in_the_container(checkout)
        _await_answer(checkout)
        assert "Ankle boot" in checkout.make("predict", "ROWS=0:1")
        checkout.make("evaluate")
    bare = Checkout(checkout.path)
    bare.make("up")
    assert f"127.0.0.1:{checkout.settings['GRPC_PORT']}" in bare.make("ps")
    assert json.loads((checkout.path / ".atelier" / "state.json").read_text())["engine"] == engine


def _kill_in_the_container(checkout: Checkout) -> None:
    before = container.find(project_name(checkout.path))
    assert before is not None
    script = (
        "for process in /proc/[0-9]*; do"
        ' grep -q "^/opt/venv/bin/python" "$process/cmdline" 2>/dev/null && kill -9 "${process#/proc/}"; done; true'
    )
    subprocess.run(["docker", "exec", before.id, "sh", "-c", script], check=False)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        now = container.find(project_name(checkout.path))
        assert now is not None
        assert now.serves
        if now.restarts > before.restarts:
            return
        time.sleep(0.2)
    raise AssertionError("the container was not started again")


def _await_answer(checkout: Checkout) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if (
                "AVAILABLE"
                in _status(f"http://127.0.0.1:{checkout.settings['REST_PORT']}/v1/models/fashion").values()
            ):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server did not come back")


def _names_no_place_of_a_container(text: str) -> None:
    """Paths in messages are the host's."""
    for line in text.splitlines():
        words = line.replace("'", " ").split()
        assert not [
            word
            for word in words
            if word.startswith(("/models", "/data/", "/reports", "/runs", "/host", "serving:"))
        ]


def _status(rest: str) -> dict[str, str]:
    """Version to state, of the versions that are not gone."""
    with urllib.request.urlopen(rest, timeout=10) as answer:
        entries = json.load(answer)["model_version_status"]
    return {entry["version"]: entry["state"] for entry in entries if entry["state"] != "END"}


def _identity(checkout: Checkout) -> str:
    """What tells one service process from another: its pid, or its container's id and start."""
    state = json.loads((checkout.path / ".atelier" / "state.json").read_text())
    if state["engine"] == "local":
        return str(state["pid"])
    found = container.find(project_name(checkout.path))
    assert found is not None
    return found.run
