"""Releases through make, with each engine: what is worse, equal or better than stable, and the way back."""

from __future__ import annotations

import gzip
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.checkout import Checkout
from tests.support.idx_files import idx

# `make test` has the loop with a release, a rollback and the history (test_loop.py), and the gate against real servers
# (tests/client).
pytestmark = [pytest.mark.timeout(1700), pytest.mark.soak]
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
# Enough to tell the networks apart, and no more.
TRAINED_ON, TESTED_ON = 20_000, 5_000
DENSE = "network: {hidden: [32]}\nfit: {batch_size: 512, epochs: 2, seed: 7}\n"
CNN = (
    "network: {convolutions: [16, 32]}\noptimizer: {learning_rate: 0.003}\n"
    "fit: {batch_size: 128, epochs: 2, seed: 7}\n"
)


@pytest.fixture(params=["local", "compose"])
def shop(checkout: Checkout, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Checkout]:
    """A checkout, and beside it jobs that make the same model; it is cleaned afterwards."""
    checkout.settings["ENGINE"] = request.param
    if request.param == "compose":
        request.getfixturevalue("engine")
    _write_jobs(tmp_path)
    os.environ["COMPOSE_PROJECT_NAME"] = f"atelier-releases-{os.getpid()}"
    try:
        yield checkout
    finally:
        checkout.make("clean", "FORCE=1")
        del os.environ["COMPOSE_PROJECT_NAME"]


def test_only_what_is_better_becomes_stable(shop: Checkout, tmp_path: Path) -> None:
    dense, worse, cnn = (f"JOB={tmp_path / 'jobs' / name}.yaml" for name in ("dense", "worse", "cnn"))

    # The first version has nothing to be compared with.
    first = shop.make("up", dense)
    assert "there is no baseline to compare with" in first
    assert "Serving fashion version 1 until" in first
    assert "version 1 AVAILABLE (stable)" in shop.make("ps")

    # Worse: of its labels a third were drawn by lot.
    rejected = shop.make("up", worse, expect=1)
    assert "Version 2 is rejected against version 1" in rejected
    assert "Version 1 stays stable" in rejected
    assert "Serving fashion version 1 until" in rejected
    assert _answers(shop) == {"": 1, "/labels/stable": 1}
    assert "jobs/dense.yaml" in shop.make("ps")
    shop.make("predict", dense, "ROWS=0:1")

    # Equal: held, and the rules that are written down decide. The examples that they name lie beside them.
    held = shop.make("up", dense, "RETRAIN=1", expect=4)
    assert "Version 3 is held" in held
    assert _answers(shop) == {"": 1, "/labels/stable": 1}
    gate = _write_rules(tmp_path / "rules", "{change_threshold: {absolute: -0.05}}")
    blessed = shop.make("release", f"GATE={gate}", "RAMP=50,100", "HOLD=2s")
    assert "The ramp takes 4 s at least" in blessed
    assert "Version 3 is blessed against version 1 on 1,000 examples" in blessed
    assert "Hook before_gate: " in blessed
    assert '"event": "before_gate"' in blessed
    assert _answers(shop) == {"": 3, "/labels/stable": 3, "/labels/previous": 1}

    # Better, beyond chance: promoted by the rule that needs no file.
    better = shop.make("up", cnn)
    assert "Version 4 is blessed against version 3" in better
    assert "McNemar" in better
    assert _answers(shop) == {"": 4, "/labels/stable": 4, "/labels/previous": 3}
    report = json.loads((shop.path / "reports" / "evaluation.json").read_text())
    assert report["model"]["version"] == 4

    # What is not to be released waits, and the next `make up` takes it through the gate.
    waiting = shop.make("up", dense, "RETRAIN=1", "RELEASE=0")
    assert "Version 5 is a candidate: `make release VERSION=5`" in waiting
    assert "Serving fashion version 4 until" in waiting
    assert _answers(shop) == {"": 4, "/labels/stable": 4, "/labels/previous": 3}
    assert "Version 5 is rejected against version 4" in shop.make("up", dense, expect=1)

    # The way back, to the version before and to an older one.
    assert "Version 3 is stable" in shop.make("rollback", "REASON=boots look odd")
    assert _answers(shop)["/labels/stable"] == 3
    assert "Version 1 is stable" in shop.make("rollback", "VERSION=1")
    assert _answers(shop)["/labels/stable"] == 1
    assert "VERSION=one: expected the number" in shop.make("rollback", "VERSION=one", expect=2)
    assert "go together" in shop.make("release", "VERSION=4", "FORCE=1", expect=2)
    kept = shop.make("release", "VERSION=4", "KEEP=1", "FORCE=1", "REASON=better after all")
    assert "Version 2 is deleted." in kept
    assert "Version 4 is deleted." not in kept

    # Times are the caller's, who may live nine hours west of Greenwich.
    time.sleep(1.1)  # The time is given in whole seconds.
    now = datetime.now(UTC) - timedelta(hours=9)
    then = shop.make("history", f"AT={now.isoformat(timespec='seconds')[:19]}", TZ="XXX+9")
    assert re.search(r"│ 4 +│", then)
    told = shop.make("history")
    for word in ("boots look odd", "better after all"):
        assert word in told
    assert "yesterday" in shop.make("history", "AT=yesterday", expect=2)

    # One fresh checkout an engine is expensive enough: a second model stands for another repository.
    _take_over(shop, f"JOB={tmp_path / 'jobs' / 'followed'}.yaml")

    # What was live when is known without a service, too.
    shop.make("down")
    assert "models/rollouts.jsonl" in shop.make("history", expect=3)


def _take_over(shop: Checkout, followed: str) -> None:
    """As in a repository from before there were releases: models.config says nothing of versions and labels."""
    shop.make("up", followed, "FOLLOW_NEWEST=1")
    shop.make("up", followed, "FOLLOW_NEWEST=1", "RETRAIN=1")
    assert _answers(shop, "followed") == {"": 2}
    # The version that answers becomes stable, and what comes then goes through the gate.
    state = shop.path / ".atelier" / "state.json"
    state.write_text(state.read_text().replace('"labels": true', '"labels": false'))
    taken = shop.make("up", followed)
    assert "started before there were releases" in taken
    assert "Version 2, which has answered up to now, is stable" in taken
    assert _answers(shop, "followed") == {"": 2, "/labels/stable": 2}
    assert "Version 3 is held" in shop.make("up", followed, "RETRAIN=1", expect=4)
    assert _answers(shop, "followed") == {"": 2, "/labels/stable": 2}
    assert "a release chooses them" in shop.make("up", followed, "FOLLOW_NEWEST=1", "RETRAIN=1", expect=1)


def _answers(checkout: Checkout, model: str = "fashion") -> dict[str, int]:
    """Which version answers without a label and by each."""
    found = {}
    for place in ("", "/labels/stable", "/labels/canary", "/labels/previous"):
        url = f"http://127.0.0.1:{checkout.settings['REST_PORT']}/v1/models/{model}{place}/metadata"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                found[place] = int(json.load(answer)["model_spec"]["version"])
        except urllib.error.HTTPError as error:
            if "Unrecognized servable version label" not in error.read().decode():
                raise
    return found


def _write_jobs(folder: Path) -> None:
    """Two data sets, one with a third of its training labels drawn by lot, and the jobs."""
    source = Path(os.environ.get("ATELIER_FASHION_MNIST", ""))
    if not (source / "train-images-idx3-ubyte.gz").is_file():
        pytest.skip("ATELIER_FASHION_MNIST names no copy of Fashion-MNIST")
    sizes = {"train": TRAINED_ON, "t10k": TESTED_ON}
    dice = np.random.default_rng(3)
    for name in ("right", "mixed"):
        (folder / name).mkdir()
        for part, size in sizes.items():
            images = _read(source / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)[:size]
            labels = _read(source / f"{part}-labels-idx1-ubyte.gz", 8)[:size]
            if (name, part) == ("mixed", "train"):
                labels = np.where(dice.random(size) < 1 / 3, dice.integers(0, 10, size), labels).astype(
                    np.uint8
                )
            (folder / name / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
            (folder / name / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    (folder / "jobs").mkdir()
    names = json.dumps(CLASSES)
    jobs = (
        ("dense", "fashion", "right", DENSE),
        ("worse", "fashion", "mixed", DENSE),
        ("cnn", "fashion", "right", CNN),
        ("followed", "followed", "right", DENSE),
    )
    for job, model, data, network in jobs:
        (folder / "jobs" / f"{job}.yaml").write_text(
            f"name: {job}\nmodel: {model}\ndata: {{idx: ../{data}, class_names: {names}}}\n{network}"
        )


def _write_rules(folder: Path, accuracy: str) -> Path:
    """A gate.yaml with 1,000 labelled examples beside it, and a hook that shows what it was told."""
    held_out = folder / "held out"
    held_out.mkdir(parents=True)
    right = folder.parent / "right"
    for kind, header, size in (("images-idx3", 16, 784), ("labels-idx1", 8, 1)):
        raw = np.frombuffer((right / f"t10k-{kind}-ubyte").read_bytes()[header:], np.uint8)[: 1000 * size]
        array = raw.reshape(-1, 28, 28) if size > 1 else raw
        (held_out / f"t10k-{kind}-ubyte").write_bytes(idx(array))
    gate = folder / "gate.yaml"
    (folder / "show.sh").write_text("#!/bin/sh\nexec cat\n")
    (folder / "show.sh").chmod(0o755)
    gate.write_text(
        f"examples: held out\nmetrics: {{accuracy: {accuracy}}}\nhooks: {{before_gate: ./show.sh}}\n"
    )
    return gate


def _read(path: Path, header: int) -> NDArray[np.uint8]:
    with gzip.open(path) as file:
        return np.frombuffer(file.read()[header:], np.uint8)
