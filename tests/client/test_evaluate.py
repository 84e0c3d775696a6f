"""The commands, run as a user runs them."""

import base64
import contextlib
import csv
import io
import json
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from atelier_client import Client, __version__
from atelier_client.evaluation.passes.undivided import undivided
from atelier_client.report.example import data_uri
from numpy.typing import NDArray
from PIL import Image

from tests.support.client_command import command, start
from tests.support.idx_files import split_examples, write_split
from tests.support.models import publish_untrained
from tests.support.page_layout import what_overflows
from tests.support.server import running_server

# The classes of Fashion-MNIST in another order than the card's.
SORTED = "Ankle boot,Bag,Coat,Dress,Pullover,Sandal,Shirt,Sneaker,T-shirt/top,Trouser"


def evaluate(server: Any, models: Path, data: Path, reports: Path, *more: Any) -> Any:
    return command(
        "evaluate", "--target", server.grpc, "--models", models, "--data", data, "--reports", reports, *more
    )


def test_the_report_says_what_was_measured(
    server: Any, models: Path, data: Path, tmp_path: Path, images: NDArray[Any], client: Client
) -> None:
    done = evaluate(server, models, data, tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "evaluation.json").read_text())
    assert report["model"] == {"name": "fashion", "version": 1, "label": None, "target": server.grpc}
    assert set(report) == {
        "model", "dataset", "partial", "task", "output", "metrics", "intervals", "exact_areas", "trained", "per_class",
        "confusion_matrix", "calibration", "slices", "latency_ms", "latency_histogram", "throughput", "skew",
        "model_card", "environment",
    }  # fmt: skip
    labels = np.frombuffer((data / "fashion-mnist" / "t10k-labels-idx1-ubyte").read_bytes()[8:], np.uint8)
    right = client.predict(images)["class_id"] == labels
    assert report["metrics"]["accuracy"] == pytest.approx(right.mean())
    assert np.sum(report["confusion_matrix"]) == len(images) == report["dataset"]["examples"]
    assert np.trace(report["confusion_matrix"]) == right.sum()
    assert report["skew"] == {
        "examples": 16,
        "max_abs_diff": pytest.approx(0, abs=1e-6),
        "max_scaled_diff": pytest.approx(0, abs=1e-6),
        "mismatched_labels": 0,
    }
    assert set(report["metrics"]) == set(report["intervals"])
    assert sum(report["latency_histogram"]["counts"]) == len(client.predict(images).seconds)
    assert "accuracy" in done.stdout


def test_the_page_holds_everything_and_needs_nothing_else(
    server: Any, models: Path, data: Path, tmp_path: Path
) -> None:
    done = evaluate(server, models, data, tmp_path, "--slice", "label == 6", "--slice", "confidence > 2")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "evaluation.html").read_text()
    assert what_overflows(page) == []
    assert page.count("data:image/png;base64,") == 24
    parser = Links()
    parser.feed(page)
    assert parser.links == []
    assert not re.search(r"url\(|@import|<script", page)
    for words in (
        "accuracy", "Confusion matrix", "F1, precision and recall of each class", "Reliability diagram",
        "Histogram of the requests", "Worst mistakes", "label == 6", "no example", "Model card", "Environment",
        "golden examples come back as trained", "@media print", "grpcio",
    ):  # fmt: skip
        assert words in page, words


class Links(HTMLParser):
    """Collects what a page would load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[Any] = []

    def handle_starttag(self, tag: Any, attrs: Any) -> None:
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data") and not value.startswith(("data:", "#")):
                self.links.append((tag, value))


def test_csv_and_junit_say_the_same_as_the_json(
    server: Any, models: Path, data: Path, tmp_path: Path
) -> None:
    done = evaluate(
        server, models, data, tmp_path, "--json", "--slice", "label", "--fail-under", "accuracy=0.99",
        "--fail-under", "macro_f1=0.0",
    )  # fmt: skip
    assert done.returncode == 1
    assert "accuracy is 0." in done.stderr
    assert "under the 0.99 asked for" in done.stderr
    report = json.loads(done.stdout)
    with open(tmp_path / "evaluation.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        if row["scope"] == "all":
            assert float(row["value"]) == report["metrics"][row["metric"]]
            assert [float(row["low"]), float(row["high"])] == report["intervals"][row["metric"]]
    assert {row["scope"] for row in rows} == {"all", "class", "slice"}
    assert (
        sum(int(row["examples"]) for row in rows if row["scope"] == "slice" and row["metric"] == "loss")
        == 2500
    )
    suite = ElementTree.parse(tmp_path / "evaluation.xml").getroot().find("testsuite")
    assert suite is not None
    failed = {case.get("name"): case.find("failure") is not None for case in suite.iter("testcase")}
    assert failed == {
        "accuracy >= 0.99": True,
        "macro_f1 >= 0": False,
        "golden examples come back as trained": False,
        "the test examples are those of training": False,
        "metrics are the trainer's": False,
        "every example was counted": False,
    }
    assert suite.get("failures") == "1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fail-under", "acuracy=0.9"], "Did you mean accuracy?"),
        (["--fail-under", "accuracy"], "expected METRIC=NUMBER"),
        (["--fail-under", "accuracy=88"], "0.88, not 88"),
        (["--fail-under", "loss=0.3"], "a lower loss is the better one"),
        (["--slice", "lable == 6"], "Did you mean 'label'?"),
        (["--slice", "import os"], "it is no expression"),
        (["--output", "label"], "is no probability for each class"),
        (["--output", "probs"], "no output 'probs'"),
        (["--class-names", "a,b,c"], "do not belong together"),
        (["--class-names", SORTED], "the model card has a class of that name in another place"),
        (["--label-column", "kind"], "has no column 'kind'"),
        (["--signature", "scald"], "Did you mean 'scaled'"),
        (["--version", "77"], "Specific"),
        (["--patience", "-1"], "expected a number of seconds, 0 or more, not '-1'"),
        (["--patience", "nan"], "expected a number of seconds, 0 or more, not 'nan'"),
        (["nowhere.csv"], "nowhere.csv does not exist"),
    ],
)
def test_a_mistake_in_the_command_is_one_message(
    server: Any, models: Path, data: Path, tmp_path: Path, arguments: list[Any], said: str
) -> None:
    done = evaluate(server, models, data, tmp_path, *arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_trainers_metrics_come_back_and_say_so(
    server: Any, models: Path, data: Path, tmp_path: Path
) -> None:
    done = evaluate(server, models, data, tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "evaluation.json").read_text())
    assert report["trained"]["max_abs_diff"] < 1e-4
    assert report["trained"]["sha256"] == report["dataset"]["sha256"]
    cases = {case.get("name") for case in ElementTree.parse(tmp_path / "evaluation.xml").iter("testcase")}
    assert {"metrics are the trainer's", "the test examples are those of training"} <= cases


@pytest.mark.parametrize("changed", ["labels", "a pixel", "metrics"])
def test_what_contradicts_the_trainer_is_a_verdict(
    server: Any, models: Path, tmp_path: Path, changed: str
) -> None:
    images, labels = split_examples()
    mine = tmp_path / "models"
    shutil.copytree(models, mine)
    if changed == "labels":
        labels[:200] = (labels[:200] + 1) % 10
    elif changed == "a pixel":
        images[0, 0, 0] ^= 1
    else:
        path = mine / "fashion/1/assets.extra/model_card.json"
        card = json.loads(path.read_text())
        card["metrics"]["test"]["loss"] += 4.4
        path.write_text(json.dumps(card))
    write_split(tmp_path, images, labels)
    reports = tmp_path / "reports"
    done = evaluate(server, mine, tmp_path, reports)
    assert done.returncode == 1
    failed = [
        case.get("name")
        for case in ElementTree.parse(reports / "evaluation.xml").iter("testcase")
        if len(case)
    ]
    expected = {
        "labels": ["the test examples are those of training", "metrics are the trainer's"],
        "a pixel": ["the test examples are those of training"],
        "metrics": ["metrics are the trainer's"],
    }
    assert failed == expected[changed]
    assert done.stderr.count("error: ") == len(failed)
    assert (reports / "evaluation.html").read_text().count('class="bad">✗') == len(failed)
    # The same examples, named on purpose from elsewhere, are compared with nothing.
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "fashion-mnist", other)
    done = evaluate(server, mine, tmp_path, reports, other)
    assert done.returncode == 0, done.stderr
    assert json.loads((reports / "evaluation.json").read_text())["trained"]["metrics"] is None


def test_json_is_one_document_on_stdout(server: Any, models: Path, data: Path, tmp_path: Path) -> None:
    done = evaluate(server, models, data, tmp_path, "--json")
    assert json.loads(done.stdout) == json.loads((tmp_path / "evaluation.json").read_text())
    assert not (tmp_path / "evaluation.html").exists()


def test_a_version_that_is_not_the_trained_one_is_told_apart(tmp_path: Path, data: Path) -> None:
    """Version 1's golden examples beside other weights: what a mixed-up deployment looks like."""
    models = tmp_path / "models"
    publish_untrained(models, seed=1)
    other = publish_untrained(models, seed=2)
    shutil.copy(models / "fashion/1/assets.extra/golden.npz", other / "assets.extra/golden.npz")
    with running_server(models) as server:
        done = evaluate(server, models, data, tmp_path / "reports")
        assert done.returncode == 1
        assert "answers its golden examples wrongly" in done.stderr
        assert json.loads((tmp_path / "reports/evaluation.json").read_text())["skew"]["mismatched_labels"] > 0
        waited = command("status", "--wait", "5", "--target", server.grpc, "--models", models)
        assert waited.returncode == 1
        assert "golden examples wrongly" in waited.stderr

        (other / "assets.extra/golden.npz").write_bytes(b"damaged")
        done = evaluate(server, models, data, tmp_path / "reports")
        assert done.returncode == 2
        assert "golden.npz is damaged" in done.stderr

        (other / "assets.extra/golden.npz").unlink()
        done = evaluate(server, models, data, tmp_path / "reports")
        assert done.returncode == 0
        assert "no golden examples" in done.stderr


@pytest.fixture(scope="module")
def much(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A data folder of 200,000 images, which takes some seconds: each of class number % 10, and telling it."""
    folder = tmp_path_factory.mktemp("much")
    numbers = np.arange(200_000)
    images = np.zeros((len(numbers), 28, 28), np.uint8)
    images[:, 0, 0] = numbers % 251
    write_split(folder, images, (numbers % 10).astype(np.uint8))
    return folder


@contextlib.contextmanager
def evaluating(server: Any, models: Path, data: Path, reports: Path, *more: Any) -> Iterator[Any]:
    # A file of the user's: the metrics are not compared with the trainer's.
    arguments = [
        data / "fashion-mnist",
        "--target",
        server.grpc,
        "--models",
        models,
        "--data",
        data,
        "--reports",
        reports,
        "--json",
        *more,
    ]
    with start("evaluate", *arguments) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_the_middle(process: Any) -> None:
    """Until it has read 60 of the 157 MB of images; it reads only a little ahead of the answers."""
    counters = Path(f"/proc/{process.pid}/io")
    deadline = time.monotonic() + 30
    while int(counters.read_text().split()[1]) < 60_000_000:
        assert process.poll() is None, "it ended before the middle"
        assert time.monotonic() < deadline
        time.sleep(0.002)


def kill(server: Any) -> None:
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()


def test_a_server_killed_and_started_again_costs_no_example(models: Path, much: Path, tmp_path: Path) -> None:
    with running_server(models) as first:
        whole = evaluate(first, models, much, tmp_path, much / "fashion-mnist", "--json")
        with evaluating(first, models, much, tmp_path) as process:
            wait_for_the_middle(process)
            kill(first)
            time.sleep(1)
            with running_server(models, port=int(first.grpc.rpartition(":")[2])):
                output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert "Waiting for the server: " in errors
    assert "The server answers again." in errors
    report, wanted = json.loads(output), json.loads(whole.stdout)
    assert report["dataset"]["examples"] == 200_000
    assert not report["partial"]
    assert report["confusion_matrix"] == wanted["confusion_matrix"]
    assert report["metrics"]["loss"] == pytest.approx(wanted["metrics"]["loss"], abs=1e-6)
    assert report["throughput"]["seconds"] > wanted["throughput"]["seconds"] + 1


def test_a_server_that_stays_away_leaves_a_partial_report(models: Path, much: Path, tmp_path: Path) -> None:
    with (
        running_server(models) as server,
        evaluating(server, models, much, tmp_path, "--patience", 1) as process,
    ):
        wait_for_the_middle(process)
        kill(server)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert "Cannot reach a model server" in errors
    assert "Traceback" not in errors
    check_partial(json.loads(output), errors, tmp_path)


def test_ctrl_c_writes_what_is_done(server: Any, models: Path, much: Path, tmp_path: Path) -> None:
    with evaluating(server, models, much, tmp_path, "--slice", "label") as process:
        wait_for_the_middle(process)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert errors.endswith("Interrupted.\n")
    check_partial(json.loads(output), errors, tmp_path)


def check_partial(report: Any, errors: Any, folder: Path) -> None:
    """It says that it is partial, and what it holds is the first so many examples, each once."""
    done = report["dataset"]["examples"]
    assert report["partial"]
    assert 0 < done < 200_000 == report["dataset"]["of"]
    assert report["dataset"]["sha256"] is None
    assert f"The report is partial: stopped after {done:,} of 200,000 examples." in errors
    assert [sum(row) for row in report["confusion_matrix"]] == np.bincount(np.arange(done) % 10).tolist()
    assert json.loads((folder / "evaluation.json").read_text()) == report
    cases = ElementTree.parse(folder / "evaluation.xml").getroot().iter("testcase")
    assert {case.get("name"): case.find("failure") is not None for case in cases} == {
        "every example was counted": True
    }


def test_ctrl_c_exits_130(models: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        with start("status", "--wait", "60", "--target", f"127.0.0.1:{silent.getsockname()[1]}") as process:
            silent.accept()[0].close()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_wrong_data_folder_is_explained(server: Any, models: Path, tmp_path: Path) -> None:
    done = evaluate(server, models, tmp_path, tmp_path)
    assert done.returncode == 2
    assert "t10k-images-idx3-ubyte is missing" in done.stderr
    write_split(tmp_path, np.zeros((3, 28, 28), np.uint8), np.zeros(2, np.uint8))
    assert "3 images but 2 labels" in evaluate(server, models, tmp_path, tmp_path).stderr
    write_split(tmp_path, np.zeros((3, 28, 28), np.uint8), np.full(3, 11, np.uint8))
    assert "do not belong together" in evaluate(server, models, tmp_path, tmp_path).stderr
    images = tmp_path / "fashion-mnist" / "t10k-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    assert "its header promises" in evaluate(server, models, tmp_path, tmp_path).stderr


def test_predict_reads_idx_npy_and_npz(
    server: Any, models: Path, data: Path, images: NDArray[Any], tmp_path: Path
) -> None:
    idx = data / "fashion-mnist" / "t10k-images-idx3-ubyte"
    np.save(tmp_path / "rows.npy", images[:3])
    np.savez(tmp_path / "rows.npz", images=images[:3])
    printed = [
        json.loads(
            command(
                "predict", file, "--rows", "0:3", "--json", "--target", server.grpc, "--models", models
            ).stdout
        )
        for file in (idx, tmp_path / "rows.npy", tmp_path / "rows.npz")
    ]
    assert printed[0] == printed[1] == printed[2]
    assert [row["row"] for row in printed[0]["predictions"]] == [0, 1, 2]
    assert len(printed[0]["predictions"][0]["top"]) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["predict", "nowhere.npy"], 2, "nowhere.npy does not exist"),
        (["predict", "nowhere.npy", "--rows", "a:b"], 2, "expected A:B"),
        (["frobnicate"], 2, "frobnicate"),
        (["metadata", "--model", "nix"], 2, "nix"),
        (["status", "--wait", "0.2", "--version", "9"], 3, "version 9 was not ready"),
    ],
)
def test_a_users_mistake_is_one_message(server: Any, arguments: list[Any], code: int, said: str) -> None:
    more = [] if arguments == ["frobnicate"] else ["--target", server.grpc]
    done = command(*arguments, *more)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_status_and_metadata_for_people_and_programs(server: Any) -> None:
    assert "AVAILABLE" in command("status", "--target", server.grpc).stdout
    assert "images: uint8 [N,28,28]" in command("metadata", "--target", server.grpc).stdout
    entries = json.loads(command("status", "--json", "--target", server.grpc).stdout)
    assert entries == [{"version": 1, "state": "AVAILABLE", "error": "", "labels": []}]
    assert "serving_default" in json.loads(command("metadata", "--json", "--target", server.grpc).stdout)


def test_the_version_is_the_installed_one() -> None:
    done = command("--version")
    assert done.returncode == 0
    assert done.stdout == f"atelier-client {metadata.version('atelier-client')}\n"
    assert metadata.version("atelier-client") == __version__


def test_help_has_an_example_for_every_command() -> None:
    for name in ("evaluate", "predict", "status", "metadata"):
        text = command(name, "--help").stdout
        assert re.search(rf"Examples?:\s+atelier-client {name}", text)
        assert "ATELIER_TARGET" in text


@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_a_picture_survives_its_way_into_the_page(channels: int) -> None:
    shape = (20, 28, channels) if channels else (20, 28)
    image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    head, data = data_uri(image).split(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as opened:
        np.testing.assert_array_equal(np.asarray(opened), image[:, :, 0] if channels == 1 else image)


def test_the_help_speaks_to_users() -> None:
    text = command("--help").stdout
    assert "atelier-client evaluate" in text
    assert "argparse" not in text


def test_ctrl_c_divides_no_batch() -> None:
    counted = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        for batch in range(3):
            with undivided():
                counted.append(batch)
                signal.raise_signal(signal.SIGINT)
                counted.append(batch)
    assert counted == [0, 0]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
