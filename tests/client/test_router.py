"""Requests go to labels by weight: in their shares, sticky, and never lost with a label."""

import asyncio
import json
import logging
import math
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client import AsyncClient, AsyncRouter, Client, Retry, Router
from atelier_client.errors import (
    InputError,
    InvalidRequest,
    NotReachable,
    ServerFailure,
    SettingsError,
    TimedOut,
)
from atelier_client.responses import Prediction
from atelier_client.routing.statistics import Statistics
from atelier_client.routing.weights import Weights
from atelier_client.routing.weights_file import WeightsFile
from atelier_client.testing import InMemoryServer

from tests.support.labelled_toys import KINDS, LABELS, relabel, routed, save_toys, serving_toys
from tests.support.ports import free_port
from tests.support.small_server import small_server

ONE = np.ones(1, np.float32)
SPEC = {"y": ("float32", (-1,))}


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toys")
    save_toys(folder)
    return folder


@pytest.fixture(scope="module")
def served(toys: Path) -> Iterator[Any]:
    with serving_toys(toys) as running:
        yield running


@pytest.fixture
def server(served: Any, toys: Path) -> Iterator[Any]:
    """Both labels are where they belong again after the test."""
    yield served
    relabel(served, toys, LABELS)


def version(prediction: Any) -> int:
    """The version that answered for 1.0, by its answer: REST does not tell it."""
    return int(prediction["y"][0])


def memory() -> InMemoryServer:
    """Versions 1 (stable) and 2 (canary) that answer with their number."""
    server = InMemoryServer()
    for number, label in ((1, "stable"), (2, "canary")):

        def scaled(inputs: Any, factor: int = number) -> Any:
            return {"y": inputs["x"] * factor}

        spec = {"x": ("float32", (-1,))}
        server.serve("toy", scaled, inputs=spec, outputs=SPEC, version=number, label=label)
    return server


@pytest.mark.parametrize(("shell", "protocol"), KINDS)
def test_each_label_gets_its_share_of_requests_without_a_key(server: Any, shell: str, protocol: str) -> None:
    """Within five standard deviations of a binomial: missed by one of two million runs with other seeds."""
    asked, share = 400, 0.3
    with routed(shell, getattr(server, protocol), {"stable": 7, "canary": 3}, seed=1) as opened:
        answered = [version(opened.predict(ONE)) for _ in range(asked)]
        counted = opened.router.statistics()
    canary = answered.count(2)
    assert abs(canary - asked * share) < 5 * math.sqrt(asked * share * (1 - share))
    assert answered.count(1) + canary == asked
    assert {label: one.requests for label, one in counted.items()} == {
        "stable": asked - canary,
        "canary": canary,
    }
    told = {"stable": 1, "canary": 2} if protocol == "grpc" else {"stable": 0, "canary": 0}
    for label, one in counted.items():
        assert (one.errors, one.missing, one.fallbacks) == (0, 0, 0)
        assert {number: of.answers for number, of in one.versions.items()} == {told[label]: one.requests}
        assert all(0 < of.p50_ms <= of.p99_ms for of in one.versions.values())


def test_the_same_seed_chooses_the_same_labels(server: Any) -> None:
    runs = []
    for seed in (7, 7, 8):
        with routed("threads", server.grpc, {"stable": 1, "canary": 1}, seed=seed) as opened:
            runs.append([version(opened.predict(ONE)) for _ in range(64)])
    assert runs[0] == runs[1] != runs[2]


ASK_KEYS = """
import sys, numpy as np
from atelier_client import Client, Router
with Client(sys.argv[1], "toy") as client, Router(client, {"canary": 30, "stable": 70}) as router:
    print("".join(str(int(router.predict(np.ones(1, np.float32), key=f"user-{n}")["y"][0])) for n in range(200)))
"""


def test_a_key_has_the_same_label_in_every_process(server: Any) -> None:
    """Whatever Python's own hashes are, the order of the weights and their unit, over gRPC and REST."""
    told = [
        subprocess.run(
            [sys.executable, "-c", ASK_KEYS, target],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.strip()
        for target, seed in ((server.grpc, "1"), (server.rest, "2"))
    ]
    with routed("asyncio", server.grpc, {"stable": 0.7, "canary": 0.3}) as opened:
        here = "".join(str(version(opened.predict(ONE, key=f"user-{number}"))) for number in range(200))
    assert told == [here, here]
    assert 30 < here.count("2") < 90


def test_the_hash_stays_what_it_is() -> None:
    """Another one would send the users of running applications to another version."""
    weights = Weights({"stable": 50, "canary": 50})
    assert (
        "".join(weights.of_key("fashion", f"user-{number}")[0] for number in range(24))
        == "scsccscscscssscscscccccc"
    )
    assert (
        weights.of_key("fashion", 42) == weights.of_key("fashion", "42") == weights.of_key("fashion", b"42")
    )


def test_a_ramp_moves_keys_to_canary_only(server: Any) -> None:
    before: set[int] = set()
    with routed("threads", server.grpc, {"stable": 1}) as opened:
        for percent in (1, 10, 50, 100):
            opened.router.weights = {"stable": 100 - percent, "canary": percent}
            canary = {key for key in range(200) if version(opened.predict(ONE, key=key)) == 2}
            assert before <= canary
            before = canary
    assert len(before) == 200


@pytest.mark.parametrize("raised", ["a", "b", "c"])
def test_of_many_labels_only_the_raised_one_gains_keys(raised: str) -> None:
    keys = [f"k{number}" for number in range(5000)]
    low = {"a": 5.0, "b": 3.0, "c": 2.0}
    high = low | {raised: low[raised] * 3}
    before = [Weights(low).of_key("m", key) for key in keys]
    after = [Weights(high).of_key("m", key) for key in keys]
    assert all(new in (old, raised) for old, new in zip(before, after, strict=True))
    for weights, labels in ((low, before), (high, after)):
        for label, weight in weights.items():
            share = weight / sum(weights.values())
            deviation = math.sqrt(len(keys) * share * (1 - share))
            assert abs(labels.count(label) - len(keys) * share) < 5 * deviation


def test_weights_as_far_apart_as_numbers_can_be() -> None:
    tiny = Weights({"stable": 1.7e308, "other": 1.7e308, "canary": 5e-324})
    assert {tiny.of_key("m", key) for key in range(100)} == {"stable", "other"}
    assert {tiny.at(point / 100) for point in range(100)} == {"stable", "other"}


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
@pytest.mark.parametrize("shell", ["threads", "asyncio"])
def test_a_label_that_vanishes_under_load_fails_no_call(
    server: Any, toys: Path, shell: str, protocol: str
) -> None:
    """The label, then its version too, then both come back, twice."""
    answers: list[int] = []
    failures: list[Exception] = []
    stop = threading.Event()
    target = getattr(server, protocol)
    weights = {"stable": 50, "canary": 50}
    counted: dict[str, Any] = {}

    def by_threads() -> None:
        with Client(target, "toy") as client, Router(client, weights) as router:

            def ask() -> None:
                while not stop.is_set():
                    try:
                        answers.append(version(router.predict(ONE)))
                    except Exception as error:
                        failures.append(error)

            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            counted.update(router.statistics())

    async def by_tasks() -> None:
        async with AsyncClient(target, "toy") as client, AsyncRouter(client, weights) as router:

            async def ask() -> None:
                while not stop.is_set():
                    try:
                        answers.append(version(await router.predict(ONE)))
                    except Exception as error:
                        failures.append(error)

            await asyncio.gather(*(ask() for _ in range(4)))
            counted.update(router.statistics())

    load = threading.Thread(target=by_threads if shell == "threads" else lambda: asyncio.run(by_tasks()))
    load.start()
    try:
        for _ in range(2):
            time.sleep(0.3)
            relabel(server, toys, {"stable": 1})
            time.sleep(0.3)
            relabel(server, toys, {"stable": 1}, versions=(1,))
            time.sleep(0.3)
            relabel(server, toys, {"stable": 1})
            relabel(server, toys, LABELS)
        time.sleep(0.3)
    finally:
        stop.set()
        load.join()
    assert not failures
    assert set(answers) == {1, 2}
    assert counted["canary"].missing == counted["stable"].fallbacks > 0
    assert counted["canary"].errors == counted["stable"].errors == counted["stable"].missing == 0
    assert counted["stable"].requests + counted["canary"].requests == len(answers) + counted["canary"].missing


@pytest.mark.parametrize(("shell", "protocol"), KINDS)
def test_a_label_of_a_version_that_is_not_served_is_answered_by_the_fallback(
    server: Any, toys: Path, shell: str, protocol: str
) -> None:
    """Such a label is taken because of --allow_version_labels_for_unavailable_models; its requests are NOT_FOUND."""
    relabel(server, toys, {"stable": 1}, versions=(1,))
    with Client(server.grpc, "toy") as client, pytest.raises(InvalidRequest, match="Unrecognized servable"):
        client.predict(ONE, label="canary")
    with routed(shell, getattr(server, protocol), {"canary": 1}) as opened:
        assert version(opened.predict(ONE)) == 1
        counted = opened.router.statistics()
    assert (counted["canary"].requests, counted["canary"].missing, counted["canary"].errors) == (1, 1, 0)
    assert (counted["stable"].requests, counted["stable"].fallbacks) == (1, 1)


@pytest.mark.parametrize(
    ("code", "missing"), [("NOT_FOUND", 1), ("INTERNAL", 0), ("INVALID_ARGUMENT", 0), ("DATA_LOSS", 0)]
)
def test_what_a_canary_fails_with_is_counted_and_answered_by_the_fallback(code: str, missing: int) -> None:
    toys = memory()
    with small_server(toys) as running, routed("threads", running.address, {"canary": 1}) as opened:
        assert version(opened.predict(ONE)) == 2
        toys.fail(code, "no")
        assert version(opened.predict(ONE)) == 1
        counted = opened.router.statistics()
    assert (counted["canary"].requests, counted["canary"].missing) == (2, missing)
    assert counted["canary"].errors == 1 - missing
    assert counted["stable"].fallbacks == 1


@pytest.mark.parametrize(("shell", "protocol"), KINDS)
def test_errors_of_the_fallback_are_the_callers(server: Any, toys: Path, shell: str, protocol: str) -> None:
    with routed(shell, getattr(server, protocol), {"stable": 1}) as opened:
        relabel(server, toys, {"canary": 2})
        with pytest.raises(InvalidRequest, match="Unrecognized servable version label: stable"):
            opened.predict(ONE)
        counted = opened.router.statistics()["stable"]
    assert (counted.requests, counted.missing, counted.errors) == (1, 1, 0)


def test_inputs_that_do_not_fit_are_the_callers_whichever_label_is_asked(server: Any) -> None:
    with routed("threads", server.grpc, {"canary": 1}) as opened:
        with pytest.raises(InputError, match="Did you mean 'x'"):
            opened.predict({"xx": ONE})
        assert opened.router.statistics() == {}


def test_a_server_that_does_not_answer_is_not_asked_again_by_another_label() -> None:
    toys = memory()
    with (
        small_server(toys) as running,
        routed("threads", running.address, {"canary": 1}, timeout=0.3) as opened,
    ):
        opened.predict(ONE)
        toys.delay(2)
        with pytest.raises(TimedOut):
            opened.predict(ONE)
        counted = opened.router.statistics()
    assert counted["canary"].errors == 1
    assert set(counted) == {"canary"}
    with (
        Client(f"127.0.0.1:{free_port()}", "toy", retry=Retry(attempts=1)) as client,
        Router(client, {"canary": 1}) as router,
    ):
        with pytest.raises(NotReachable):
            router.predict(ONE)
        assert set(router.statistics()) == {"canary"}


def test_when_both_fail_the_error_is_that_of_the_fallback() -> None:
    toys = memory()
    with small_server(toys) as running, routed("threads", running.address, {"canary": 1}) as opened:
        opened.predict(ONE)
        toys.fail("INTERNAL", "of canary")
        toys.fail("INTERNAL", "of stable")
        with pytest.raises(ServerFailure, match="of stable") as raised:
            opened.predict(ONE)
        assert "of canary" not in "".join(traceback.format_exception(raised.value))
        counted = opened.router.statistics()
    assert (counted["canary"].errors, counted["stable"].errors) == (1, 1)


@pytest.mark.parametrize("shell", ["threads", "asyncio"])
@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({}, "no label has a weight above 0"),
        ({"stable": 0, "canary": 0.0}, "no label has a weight above 0"),
        ({"stable": -1}, "the weight of 'stable' is a number, 0 or more, not -1"),
        ({"stable": math.nan}, "not nan"),
        ({"stable": math.inf}, "not inf"),
        ({"stable": 10**400}, "0 or more, not 1000"),
        ({"stable": "90"}, "not '90'"),
        ({"stable": True}, "not True"),
        ({"stable": None}, "not None"),
        ({"": 1}, "a label is a name, not ''"),
        ({1: 1}, "a label is a name, not 1"),
        ([("stable", 1)], "expected labels and their weights"),
        (90, "expected labels and their weights"),
    ],
)
def test_weights_that_cannot_be_are_refused(shell: str, weights: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words), routed(shell, "127.0.0.1:1", weights):
        pass
    with routed(shell, "127.0.0.1:1", {"stable": 3}) as opened:
        with pytest.raises(SettingsError, match=words):
            opened.router.weights = weights
        assert opened.router.weights == {"stable": 3}


@pytest.mark.parametrize("shell", ["threads", "asyncio"])
@pytest.mark.parametrize("key", [True, 1.5, ["a"], ("a", 1)])
@pytest.mark.parametrize("weights", [{"stable": 1}, {"stable": 1, "canary": 1}])
def test_keys_that_cannot_be_are_refused(shell: str, key: Any, weights: Any) -> None:
    with (
        routed(shell, "127.0.0.1:1", weights) as opened,
        pytest.raises(InputError, match="A key is a text, bytes or a whole number"),
    ):
        opened.predict(ONE, key=key)


def test_labels_that_cannot_be_are_refused_and_a_closed_router_says_so() -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"fallback": ""}, "fallback is the name of a label"),
        ({"mirror": ""}, "mirror is the name of a label"),
        ({"mirror": "stable"}, "another label than 'stable'"),
    ]
    for settings, words in wrong:
        with pytest.raises(SettingsError, match=words), routed("threads", "127.0.0.1:1", **settings):
            pass
    for shell in ("threads", "asyncio"):
        with routed(shell, "127.0.0.1:1") as opened:
            with pytest.raises(SettingsError, match="mirrors nothing"):
                opened.router.report()
            with pytest.raises(SettingsError, match="mirrors nothing"):
                opened.write_report(Path("nowhere"))
            opened.close()
            with pytest.raises(SettingsError, match="The router is closed"):
                opened.predict(ONE)


@pytest.mark.parametrize(("shell", "protocol"), KINDS)
def test_a_file_of_weights_is_followed(server: Any, tmp_path: Path, shell: str, protocol: str) -> None:
    file = tmp_path / "traffic.json"
    with routed(shell, getattr(server, protocol), file) as opened:
        assert version(opened.predict(ONE)) == 1
        for weights, expected in (({"canary": 1}, 2), ({"stable": 1, "canary": 0}, 1)):
            _replace(file, {"toy": weights, "other": {"stable": "unreadable"}})
            deadline = time.monotonic() + 10
            while version(opened.predict(ONE)) != expected:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert opened.router.weights == weights
        with pytest.raises(SettingsError, match=r"follows .*traffic\.json: change the weights there"):
            opened.router.weights = {"stable": 1}


def _replace(file: Path, document: Any) -> None:
    beside = file.with_suffix(".new")
    beside.write_text(document if isinstance(document, str) else json.dumps(document))
    os.replace(beside, file)


def test_a_file_is_looked_at_once_a_second(tmp_path: Path) -> None:
    now = [0.0]
    file = tmp_path / "traffic.json"
    weights = WeightsFile(file, "toy", "stable", lambda: now[0])
    assert weights.current().values == {"stable": 1}
    _replace(file, {"toy": {"canary": 5}})
    now[0] = 0.9
    assert weights.current().values == {"stable": 1}
    now[0] = 1.0
    assert weights.current().values == {"canary": 5}
    file.unlink()
    assert weights.current().values == {"canary": 5}
    now[0] = 2.0
    assert weights.current().values == {"stable": 1}


@pytest.mark.parametrize(
    "damaged",
    [
        '{"toy": {"stable"',
        "",
        "[]",
        '{"toy": {}}',
        '{"toy": {"stable": -1}}',
        '{"toy": {"stable": NaN}}',
        '{"toy": 3}',
        "[" * 100_000,
        "\udcff",
        None,
    ],
)
def test_a_damaged_file_leaves_the_weights_and_is_said_once(
    tmp_path: Path, damaged: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    file = tmp_path / "traffic.json"
    _replace(file, {"toy": {"stable": 1, "canary": 3}})
    with caplog.at_level(logging.WARNING):
        weights = WeightsFile(file, "toy", "stable", lambda: now[0])
        file.unlink()
        if damaged is None:
            file.mkdir()
        else:
            file.write_bytes(damaged.encode(errors="surrogateescape"))
        for now[0] in range(1, 5):
            assert weights.current().values == {"stable": 1, "canary": 3}
        assert len(caplog.records) == 1
        assert "traffic.json cannot be read" in caplog.text
        if damaged is None:
            file.rmdir()
        _replace(file, {"other": {}})
        now[0] = 9
        assert weights.current().values == {"stable": 1}
    assert len(caplog.records) == 1


def test_weights_move_while_requests_run(server: Any) -> None:
    """After the assignment has returned, no request goes by the old weights."""
    with routed("threads", server.grpc, {"stable": 1}) as opened:
        failures: list[Exception] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                try:
                    opened.predict(ONE)
                except Exception as error:
                    failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for turn in range(40):
            label = ("stable", "canary")[turn % 2]
            opened.router.weights = {label: 1}
            assert version(opened.predict(ONE)) == LABELS[label]
        stop.set()
        for thread in threads:
            thread.join()
        assert not failures


def test_statistics_stay_small() -> None:
    """A label that moves for months keeps the newest versions and the last answers only."""
    statistics = Statistics()
    for number in range(1, 2001):
        prediction = Prediction()
        prediction.versions, prediction.seconds = (1 + number // 100,), (number / 1000,)
        statistics.answered("stable", prediction, False)
    [counted] = statistics.read().values()
    assert counted.requests == 2000
    assert list(counted.versions) == list(range(14, 22))
    assert counted.versions[20].answers == 100
    assert counted.versions[20].p50_ms == pytest.approx(1949.5)
