"""A console with a real server of three kinds of model, one of them trained on Fashion-MNIST; and a real browser."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser import running_browser
from tests.support.console import RunningConsole, running_console
from tests.support.models import publish_with_initial_weights
from tests.support.server import RunningServer, running_server
from tests.support.toy_models import save_toy
from tests.support.trainer_command import trainer

TEXTS = "label,text\n" + "".join(
    f"{label},{word} {word} film number {number}\n"
    for number in range(40)
    for label, word in (("good", "lovely"), ("bad", "dull"))
)
TABLE = "age,city,bought\n" + "".join(
    f"{20 + number},{city},{answer}\n"
    for number in range(30)
    for city, answer in (("Rome", "yes"), ("Oslo", "no"))
)
# What a browser says of an answer that tells what is wrong.
NO_200 = "Failed to load resource"
JOBS = {
    "reviews": "name: reviews\nmodel: reviews\ndata: {csv: reviews.csv, text: text, label: label}\n"
    "network: {embedding: 8, vocabulary: 100, length: 8}\nfit: {batch_size: 8, epochs: 1, seed: 1}\n",
    "customers": "name: customers\nmodel: customers\n"
    "data: {csv: customers.csv, label: bought, columns: {city: category}, missing: ['']}\n"
    "network: {hidden: [8]}\nfit: {batch_size: 8, epochs: 1, seed: 1}\n",
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of a checkout: models, data, runs.

    `fashion` has a trained version, which is stable, and one with its initial weights, which is the canary. `reviews`
    takes a text, `customers` a row of a table, both with initial weights; `toy` is none of the known kinds.
    """
    made = _shared(tmp_path_factory) / "console-made"
    with open(f"{made}.lock", "w") as lock:
        # The processes of one run share what takes long to make; each changes a copy of its own.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / "done").exists():
            _make(made)
            (made / "done").touch()
    folder = tmp_path_factory.mktemp("console")
    for name in ("models", "runs"):
        shutil.copytree(made / name, folder / name)
    (folder / "data").symlink_to(made / "data")
    config = folder / "models" / "models.config"
    config.write_text(config.read_text().replace(str(made), str(folder)))
    return folder


def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run: under pytest-xdist each process has its own folder in it."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def _make(folder: Path) -> None:
    from atelier_trainer.data.job_data import load
    from atelier_trainer.job_file import load_job

    folders = [f"--{name}={folder / name}" for name in ("models", "data", "runs")]
    done = trainer("train", "fashion-dense", *folders)
    assert done.returncode == 0, done.stderr
    (folder / "reviews.csv").write_text(TEXTS)
    (folder / "customers.csv").write_text(TABLE)
    for name, text in JOBS.items():
        (folder / f"{name}.yaml").write_text(text)
        job = load_job(str(folder / f"{name}.yaml"))
        publish_with_initial_weights(job, folder / "models", load(job, folder / "data"))
    job = load_job("fashion-dense")
    publish_with_initial_weights(job, folder / "models", load(job, folder / "data"))
    save_toy(folder / "models")
    _list(folder / "models")


def _list(models: Path) -> None:
    """Serve both versions of `fashion`, labelled, and the toy."""
    path = models / "models.config"
    text, count = re.subn(
        r'(name: "fashion".*?versions: 1\n)(.*?\n    \}\n)',
        '\\1        versions: 2\n\\2    version_labels { key: "stable" value: 1 }\n'
        '    version_labels { key: "canary" value: 2 }\n',
        path.read_text(),
        flags=re.DOTALL,
    )
    assert count == 1, text
    end = text.rindex("}")
    toy = f'  config {{ name: "toy" base_path: "{models / "toy"}" model_platform: "tensorflow" }}\n'
    path.write_text(text[:end] + toy + text[end:])


@pytest.fixture(scope="session")
def server(folder: Path) -> Iterator[RunningServer]:
    config = folder / "models" / "models.config"
    labels = "--allow_version_labels_for_unavailable_models=true"
    with running_server(folder / "models", f"--model_config_file={config}", labels) as running:
        yield running


@pytest.fixture(scope="session")
def console(folder: Path, server: RunningServer) -> Iterator[RunningConsole]:
    with running_console(folder, server.grpc, f"--rest={server.rest}") as running:
        yield running


# Playwright keeps an event loop in this thread as long as it runs: tests of other files have loops of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture
def page(browser: Browser, console: RunningConsole) -> Iterator[Page]:
    """A page of the console. Nothing may be said on the browser's console: a breach of the policy would be."""
    said: list[str] = []
    context = browser.new_context(base_url=console.url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text) if NO_200 not in message.text else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    context.close()
    assert said == []
