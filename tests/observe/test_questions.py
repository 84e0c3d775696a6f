"""Every question of the dashboard and of the alarms, asked of a real Prometheus that watches a real server at work."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import yaml
from atelier_client import Client
from atelier_client.errors import ServerError

from deploy.observe.dashboard.board import FILE
from tests.support.console import RunningConsole, running_console
from tests.support.prometheus import Prometheus, running_prometheus
from tests.support.releases import Releases, releases

OBSERVE = FILE.parents[2]
BATCHING = "max_batch_size { value: 512 } batch_timeout_micros { value: 2000 }"
SECONDS = 30


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    folder = tmp_path_factory.mktemp("observed")
    parameters = folder / "batching.config"
    parameters.write_text(BATCHING)
    log = (f"--request_log_dir={folder / 'requests'}", "--request_log_sampling_rate=1")
    flags = ("--enable_batching", f"--batching_parameters_file={parameters}", *log)
    with releases(folder, *flags) as found:
        yield found


@pytest.fixture(scope="module")
def console(made: Releases) -> Iterator[RunningConsole]:
    with running_console(made.models.parent, made.server.grpc, f"--rest={made.server.rest}") as running:
        yield running


@pytest.fixture(scope="module")
def prometheus(
    made: Releases,
    console: RunningConsole,
    prometheus_tools: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("watching")
    configuration = (OBSERVE / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    assert configuration.count("10s") == 2
    (folder / "prometheus.yml").write_text(configuration.replace("10s", "1s"), encoding="utf-8")
    shutil.copy(OBSERVE / "prometheus" / "rules.yml", folder)
    for name, url in {"serving": made.server.rest, "console": console.url}.items():
        targets = [{"targets": [url.removeprefix("http://")]}]
        (folder / f"{name}.json").write_text(json.dumps(targets), encoding="utf-8")
    (folder / "console.token").touch()
    with running_prometheus(prometheus_tools / "prometheus", folder) as running:
        wait(lambda: len(running.ask("up == 1")) == 2)
        yield running


@pytest.fixture(scope="module")
def at_work(made: Releases, prometheus: Prometheus) -> Iterator[Prometheus]:
    """A server that is asked by labels and without, in batches and in vain, after a release and a load that failed."""
    stop = threading.Event()
    # Most are black, which no test example is; of the others the labels are known.
    black = np.zeros([9, *made.images.shape[1:]], made.images.dtype)
    pictures = np.concatenate([made.images, black])

    def ask(label: str | None) -> None:
        with Client(made.server.grpc, "fashion") as client:
            while not stop.wait(0.05):
                # The label of the version before comes with the release.
                try:
                    client.predict(pictures, label=label)
                except ServerError:
                    time.sleep(0.05)

    def ask_in_vain() -> None:
        while not stop.wait(0.05):
            with contextlib.suppress(urllib.error.HTTPError):
                urllib.request.urlopen(f"{made.server.rest}/v1/models/fashion:predict", b"{}", timeout=10)

    threads = [threading.Thread(target=ask, args=(label,)) for label in ("stable", "previous", None, None)]
    threads.append(threading.Thread(target=ask_in_vain))
    for thread in threads:
        thread.start()
    try:
        done = made.run("release", 2)
        assert done.returncode == 0, done.stderr
        break_a_load(made)
        find_drift(made)
        yield prometheus
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def find_drift(made: Releases) -> None:
    """The pictures that are asked again and again are no sample of the test examples."""
    words = ["--log", made.models.parent / "requests", "--every", "100", "--version", "1"]
    folders = ["--models", made.models, "--reports", made.models.parent / "reports"]
    feedback = made.data / "labelled" / "fashion-mnist"
    # Until there are enough of them to tell.
    wait(lambda: made.run("drift", *words, *folders, "--feedback", feedback).returncode == 1)


def break_a_load(made: Releases) -> None:
    """Ask the server for a version whose file is cut short."""
    shutil.copytree(made.models / "fashion" / "3", made.models / "fashion" / "4")
    (made.models / "fashion" / "4" / "saved_model.pb").write_bytes(b"broken")
    config = made.models / "models.config"
    config.write_text(config.read_text().replace("versions: 2", "versions: 2 versions: 4", 1))


def wait(condition: Callable[[], object]) -> None:
    """Until it holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def of_the_dashboard() -> list[str]:
    """Its questions, for all models."""
    board = json.loads(FILE.read_text(encoding="utf-8"))
    targets = [target for panel in board["panels"] for target in panel.get("targets", ())]
    asked = [item["expr"] for item in [*targets, *board["annotations"]["list"]]]
    return [question.replace("$model", ".*").replace("$__rate_interval", "8s") for question in asked]


def of_the_alarms() -> list[str]:
    """What each compares; with the comparison most would rightly give nothing."""
    document = yaml.safe_load((OBSERVE / "prometheus" / "rules.yml").read_text(encoding="utf-8"))
    asked = [rule["expr"] for group in document["groups"] for rule in group["rules"]]
    return [re.sub(r"\s(>|==) [\d.]+\s*$", "", question) for question in asked]


QUESTIONS = [*of_the_dashboard(), *of_the_alarms()]


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_question_is_answered(at_work: Prometheus, question: str) -> None:
    wait(lambda: [entry for entry in at_work.ask(question) if entry["value"][1] != "NaN"])


def test_the_shares_of_traffic_are_those_of_the_labels(at_work: Prometheus) -> None:
    [question] = [asked for asked in QUESTIONS if "atelier_label_request_count" in asked]

    def shares() -> dict[str, float]:
        return {entry["metric"]["label"]: float(entry["value"][1]) for entry in at_work.ask(question)}

    wait(lambda: {"stable", "previous", "no label"} <= set(shares()))
    assert sum(shares().values()) == pytest.approx(1)


def test_requests_in_vain_are_seen_by_their_status(at_work: Prometheus) -> None:
    [question] = [asked for asked in QUESTIONS if asked.startswith("sum by (status) (rate(")]
    wait(lambda: {entry["metric"]["status"] for entry in at_work.ask(question)} == {"OK", "INVALID_ARGUMENT"})


def test_a_release_and_its_verdict_are_drawn_at_their_times(at_work: Prometheus, made: Releases) -> None:
    board = json.loads(FILE.read_text(encoding="utf-8"))
    shown = {}
    for annotation in board["annotations"]["list"]:
        for entry in at_work.ask(annotation["expr"].replace("$model", ".*")):
            title = annotation["titleFormat"]
            for name, value in entry["metric"].items():
                title = title.replace(f"{{{{{name}}}}}", value)
            shown[title] = float(entry["value"][1])
    for line in made.entries():
        word = line.verdict if line.event == "gated" else line.event
        assert shown.pop(f"fashion {line.to_version}: {word}") == pytest.approx(
            datetime.fromisoformat(line.time).timestamp() * 1000
        )
    assert not shown


def test_a_load_that_fails_and_drift_raise_their_alarms(at_work: Prometheus) -> None:
    def pending() -> set[str]:
        return {entry["metric"]["alertname"] for entry in at_work.ask("ALERTS")}

    wait(lambda: {"AtelierLoadFailing", "AtelierDrift"} <= pending())
    groups = at_work.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {(rule["health"], rule.get("lastError")) for rule in rules} == {("ok", None)}
